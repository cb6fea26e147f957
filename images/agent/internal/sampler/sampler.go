// Package sampler reads the counters of the child's process tree, of the control group and of the agent.
//
// Reads cost 0.5 to 3 us each on files that stay open; what costs is waking up, so nothing here has a timer.
package sampler

import (
	"os"
	"strconv"

	"sealbench.org/agent/internal/cgroup"
	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/pb"
)

const kibibyte = 1024

// Sampler takes samples.
type Sampler struct {
	root     kernelfs.Root
	agentPID int
	childPID int
	usage    *cgroup.Usage
	statm    *kernelfs.Kept

	baselineAgentCPU int64
	baselineGroupCPU int64

	processes map[int]*process
	ended     totals // of processes that are gone
	stale     bool   // the list of processes must be read again
	lastPids  int64
	peakBytes int64
	light     bool

	buffer [4096]byte
}

// New opens the counters and takes the baseline: PID 1 and its group inherit some 20 ms of CPU time from the container
// runtime, whose counters survive exec.
func New(root kernelfs.Root, group cgroup.Group, agentPID int, baselineAgentCPU int64) *Sampler {
	s := &Sampler{root: root, agentPID: agentPID, usage: group.Usage(), baselineAgentCPU: baselineAgentCPU,
		processes: map[int]*process{}, stale: true}
	s.baselineGroupCPU = s.usage.Read().CPUNs
	s.statm, _ = root.Open("proc/" + strconv.Itoa(agentPID) + "/statm")
	return s
}

// Child names the child, whose peak RSS is read.
func (s *Sampler) Child(pid int) {
	s.childPID = pid
	s.stale = true
}

// Sample reads everything once. When light, the counters of threads (context switches, run queue wait) are not read but
// repeated: they are two thirds of the work, and at 10 Hz the work is what costs.
func (s *Sampler) Sample(light bool) *pb.Sample {
	s.light = light
	counters := s.usage.Read()
	// A task that came or went changes the group's count, or makes a kept file fail; only then is /proc listed again.
	if !counters.PidsKnown || counters.Pids != s.lastPids {
		s.stale = true
	}
	s.lastPids = counters.Pids
	sample := &pb.Sample{
		CgroupMemoryBytes: counters.MemoryBytes, CgroupSwapBytes: counters.SwapBytes,
		CgroupCpuNs:            counters.CPUNs - s.baselineGroupCPU,
		CgroupThrottledPeriods: counters.ThrottledPeriods, CgroupThrottledNs: counters.ThrottledNs,
		CgroupPids: int32(counters.Pids), AgentCpuNs: clock.OwnCPU() - s.baselineAgentCPU, AgentRssBytes: s.agentRSS(),
	}
	s.readTree(sample)
	return sample
}

func (s *Sampler) readTree(sample *pb.Sample) {
	if s.stale {
		s.relist()
	}
	sum := s.ended
	for pid, p := range s.processes {
		if !p.read(s.buffer[:], s.stale, s.light) {
			s.ended.add(p.last)
			p.close()
			delete(s.processes, pid)
			s.stale = true
			sum.add(p.last)
			continue
		}
		sum.add(p.last)
		sample.RssAnonBytes += p.memory.anon
		sample.RssFileBytes += p.memory.file
		sample.RssShmemBytes += p.memory.shmem
		sample.Processes++
		sample.Threads += int32(len(p.threads))
		if pid == s.childPID {
			s.peakBytes = p.memory.peak
		}
	}
	s.stale = s.anyThreadGone()
	sample.RssPeakBytes = s.peakBytes
	sample.CpuUserNs, sample.CpuSystemNs = sum.userNs, sum.systemNs
	sample.MajorFaults = sum.majorFaults
	sample.ContextSwitchesVoluntary, sample.ContextSwitchesInvoluntary = sum.voluntary, sum.involuntary
	sample.RunQueueWaitNs = sum.waitNs
}

func (s *Sampler) anyThreadGone() bool {
	for _, p := range s.processes {
		if p.threadGone {
			return true
		}
	}
	return false
}

// relist opens new processes and closes those that are gone, keeping what they had used.
func (s *Sampler) relist() {
	pids, err := s.root.Descendants(s.agentPID)
	if err != nil {
		return
	}
	present := make(map[int]bool, len(pids))
	for _, pid := range pids {
		present[pid] = true
		if s.processes[pid] == nil {
			if p := openProcess(s.root, pid); p != nil {
				s.processes[pid] = p
			}
		}
	}
	for pid, p := range s.processes {
		if !present[pid] {
			s.ended.add(p.last)
			p.close()
			delete(s.processes, pid)
		}
	}
}

func (s *Sampler) agentRSS() int64 {
	if s.statm == nil {
		return 0
	}
	text, err := s.statm.Read(s.buffer[:])
	if err != nil {
		return 0
	}
	// The second field is the resident set in pages.
	for i, c := range text {
		if c == ' ' {
			pages, _ := kernelfs.Number(text[i:])
			return pages * int64(os.Getpagesize())
		}
	}
	return 0
}
