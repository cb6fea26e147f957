package sampler

import (
	"strconv"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/kernelfs"
)

// tickNs is the unit of CPU time in /proc/PID/stat; USER_HZ is 100 on every Linux that runs containers.
const tickNs = clock.SecondNs / 100

// totals only grow.
type totals struct {
	userNs, systemNs       int64
	majorFaults            int64
	voluntary, involuntary int64
	waitNs                 int64
}

func (t *totals) add(other totals) {
	t.userNs += other.userNs
	t.systemNs += other.systemNs
	t.majorFaults += other.majorFaults
	t.voluntary += other.voluntary
	t.involuntary += other.involuntary
	t.waitNs += other.waitNs
}

type memory struct{ anon, file, shmem, peak int64 }

// process is one process of the tree with its files kept open.
type process struct {
	root       kernelfs.Root
	pid        int
	stat       *kernelfs.Kept
	threads    map[int]*thread
	ended      totals // of threads that are gone
	last       totals
	memory     memory
	threadGone bool
}

// thread has the counters that the kernel keeps per thread only.
type thread struct {
	status, schedstat *kernelfs.Kept // schedstat is nil where the kernel has none
	last              totals
}

func openProcess(root kernelfs.Root, pid int) *process {
	stat, err := root.Open("proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return &process{root: root, pid: pid, stat: stat, threads: map[int]*thread{}}
}

// read updates last and memory; false when the process is gone. relist says that its threads must be listed again,
// light that only the first one is read, whose status has the memory of all.
func (p *process) read(buffer []byte, relist, light bool) bool {
	text, err := p.stat.Read(buffer)
	if err != nil {
		return false
	}
	stat, ok := kernelfs.ParseStat(text)
	if !ok {
		return false
	}
	p.threadGone = false
	if relist || stat.Threads != len(p.threads) {
		p.relist()
	}
	p.readCPU(stat)
	p.last.majorFaults = stat.MajorFaults
	sum := p.ended
	p.memory = memory{peak: p.memory.peak}
	for id, t := range p.threads {
		if light && id != p.pid && p.threads[p.pid] != nil {
			sum.add(t.last)
			continue
		}
		if !t.read(buffer, &p.memory) {
			p.ended.add(t.last)
			t.close()
			delete(p.threads, id)
			p.threadGone = true
		}
		sum.add(t.last)
	}
	p.last.voluntary, p.last.involuntary, p.last.waitNs = sum.voluntary, sum.involuntary, sum.waitNs
	return true
}

// readCPU splits the exact CPU time by the ratio of the coarse user and system ticks, as the kernel itself does, and
// like the kernel lets neither part shrink.
func (p *process) readCPU(stat kernelfs.Stat) {
	total, ok := clock.ProcessCPU(p.pid)
	ticks := stat.UserTicks + stat.SystemTicks
	if !ok {
		total = ticks * tickNs
	}
	user := total
	if ticks > 0 {
		user = int64(float64(total) * float64(stat.UserTicks) / float64(ticks))
	}
	user = max(p.last.userNs, min(user, total-p.last.systemNs))
	p.last.userNs, p.last.systemNs = user, max(p.last.systemNs, total-user)
}

func (p *process) relist() {
	ids, err := p.root.Threads(strconv.Itoa(p.pid))
	if err != nil {
		return
	}
	present := make(map[int]bool, len(ids))
	for _, id := range ids {
		present[id] = true
		if p.threads[id] == nil {
			if t := openThread(p.root, p.pid, id); t != nil {
				p.threads[id] = t
			}
		}
	}
	for id, t := range p.threads {
		if !present[id] {
			p.ended.add(t.last)
			t.close()
			delete(p.threads, id)
		}
	}
}

func (p *process) close() {
	p.stat.Close()
	for _, t := range p.threads {
		t.close()
	}
}

func openThread(root kernelfs.Root, pid, id int) *thread {
	folder := "proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(id) + "/"
	status, err := root.Open(folder + "status")
	if err != nil {
		return nil
	}
	schedstat, _ := root.Open(folder + "schedstat")
	return &thread{status: status, schedstat: schedstat}
}

// read also fills memory, which all threads of a process share.
func (t *thread) read(buffer []byte, m *memory) bool {
	text, err := t.status.Read(buffer)
	if err != nil || len(text) == 0 {
		return false
	}
	t.last.voluntary, _ = kernelfs.FieldNumber(text, "voluntary_ctxt_switches:")
	t.last.involuntary, _ = kernelfs.FieldNumber(text, "nonvoluntary_ctxt_switches:")
	if m.anon == 0 {
		m.anon, m.file, m.shmem = kib(text, "RssAnon:"), kib(text, "RssFile:"), kib(text, "RssShmem:")
		m.peak = max(m.peak, kib(text, "VmHWM:"))
	}
	if t.schedstat == nil {
		return true
	}
	if text, err = t.schedstat.Read(buffer); err != nil {
		return false
	}
	// "<on CPU ns> <waited ns> <time slices>"
	for i, c := range text {
		if c == ' ' {
			t.last.waitNs, _ = kernelfs.Number(text[i:])
			break
		}
	}
	return true
}

func (t *thread) close() {
	t.status.Close()
	if t.schedstat != nil {
		t.schedstat.Close()
	}
}

func kib(text []byte, key string) int64 {
	n, _ := kernelfs.FieldNumber(text, key)
	return n * kibibyte
}
