// Package readback says what the kernel shows of every constraint, as the canonical strings that the
// engine's view and the host's view use too.
package readback

import (
	"errors"
	"io/fs"
	"strconv"
	"syscall"

	"sealbench.org/agent/internal/cgroup"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/pb"
)

// Scope chooses rows.
type Scope int

const (
	// Own are the rows that need no child: what is checked before it starts.
	Own Scope = iota
	// Child are the rows that the child itself shows.
	Child
	// All are all rows.
	All
)

// Reader reads rows.
type Reader struct {
	Root        kernelfs.Root
	Group       cgroup.Group
	AgentPID    int
	ChildPID    int // 0: no child
	Environment []string
	Expect      map[string]string

	seen snapshot // of the Read that is under way
}

// snapshot holds what several rows of one Read look at.
type snapshot struct {
	mounts []kernelfs.Mount
	status []byte
	tree   []int
}

func (r *Reader) mounts() ([]kernelfs.Mount, error) {
	var err error
	if r.seen.mounts == nil {
		r.seen.mounts, err = r.Root.Mounts()
	}
	return r.seen.mounts, err
}

// tree are the child and its descendants.
func (r *Reader) tree() ([]int, error) {
	var err error
	if r.seen.tree == nil {
		r.seen.tree, err = r.Root.Descendants(r.AgentPID)
	}
	return r.seen.tree, err
}

var errNoChild = errors.New("the program is not running")

type row struct {
	id    string
	scope Scope // Own, Child, or All: read from the child if there is one, else from the agent itself
	read  func(*Reader) (string, error)
}

// table is in the order of the documentation.
var table = []row{
	{"container.cpuset", Own, func(r *Reader) (string, error) { return r.Group.CPUs() }},
	{"container.mems", Own, func(r *Reader) (string, error) { return r.Group.Mems() }},
	{"workload.affinity", Child, (*Reader).workloadAffinity},
	{"agent.affinity", Own, (*Reader).agentAffinity},
	{"mems.allowed", Child, (*Reader).memsAllowed},
	{"memory.policy", Child, (*Reader).memoryPolicy},
	{"cpu.quota", Own, func(r *Reader) (string, error) { return r.Group.CPUQuota() }},
	{"cpu.weight", Own, func(r *Reader) (string, error) { return r.Group.CPUWeight() }},
	{"memory.limit_bytes", Own, func(r *Reader) (string, error) { return r.Group.MemoryLimit() }},
	{"memory.high_bytes", Own, func(r *Reader) (string, error) { return r.Group.MemoryHigh() }},
	{"memory.swap_bytes", Own, func(r *Reader) (string, error) { return r.Group.SwapLimit() }},
	{"memory.swappiness", Own, func(r *Reader) (string, error) { return r.Group.Swappiness() }},
	{"oom.kill_disable", Own, func(r *Reader) (string, error) { return r.Group.OOMKillDisable() }},
	{"pids.limit", Own, func(r *Reader) (string, error) { return r.Group.PidsLimit() }},
	{"capabilities", All, (*Reader).capabilities},
	{"no_new_privileges", All, func(r *Reader) (string, error) { return r.statusField("NoNewPrivs:") }},
	{"seccomp.mode", All, func(r *Reader) (string, error) { return r.statusField("Seccomp:") }},
	{"apparmor", All, (*Reader).apparmor},
	{"user", All, (*Reader).user},
	{"init", Own, (*Reader).init},
	{"namespaces", Own, (*Reader).namespaces},
	{"rootfs.readonly", Own, func(r *Reader) (string, error) { return r.mountMode("/") }},
	{"sys.readonly", Own, func(r *Reader) (string, error) { return r.mountMode("/sys") }},
	{"proc_sys.readonly", Own, func(r *Reader) (string, error) { return r.mountMode("/proc/sys") }},
	{"network", Own, (*Reader).network},
	{"resolv_conf", Own, (*Reader).resolvConf},
	{"mounts.writable", Own, (*Reader).writableMounts},
	{"mounts.binds", Own, (*Reader).binds},
	{"tmpfs", Own, (*Reader).tmpfs},
	{"shm_bytes", Own, (*Reader).sharedMemory},
	{"devices", Own, (*Reader).devices},
	{"environment", Own, (*Reader).environment},
	{"environment.values", Own, (*Reader).environmentValues},
	{"workload.environment", Child, (*Reader).workloadEnvironment},
	{"agent.settings", Own, (*Reader).agentSettings},
	{"gomaxprocs", All, (*Reader).gomaxprocs},
	{"ulimit.core", Own, func(r *Reader) (string, error) { return r.limit("Max core file size") }},
	{"ulimit.nofile", Own, func(r *Reader) (string, error) { return r.limit("Max open files") }},
	// Recorded, never asked for: what the host compares with its own, and what explains an end.
	{"namespaces.ids", Own, (*Reader).namespaceIDs},
	{"memory.oom_group", Own, func(r *Reader) (string, error) { return r.Group.OOMGroup() }},
}

// IDs are the ids of all rows.
func IDs() []string {
	ids := make([]string, len(table))
	for i, row := range table {
		ids[i] = row.id
	}
	return ids
}

// Read reads the rows of a scope. Rows of the child are left out of All when it is not running.
func (r *Reader) Read(scope Scope) []*pb.Row {
	r.seen = snapshot{}
	rows := make([]*pb.Row, 0, len(table))
	for _, row := range table {
		switch {
		case scope == Own && row.scope == Child, scope == Child && row.scope == Own:
			continue
		case scope == All && row.scope == Child && r.ChildPID == 0:
			continue
		}
		rows = append(rows, r.one(row))
	}
	return rows
}

func (r *Reader) one(row row) *pb.Row {
	found, err := row.read(r)
	result := &pb.Row{Id: row.id, Expected: r.Expect[row.id], Found: found}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		result.Found, result.Absent = "", true
	default:
		result.Found, result.Error = "", err.Error()
	}
	return result
}

// Broken are the rows that have an expectation that does not hold. A row whose file this kernel does not have is not
// broken: the host decides what an absent row means.
func Broken(rows []*pb.Row) []*pb.Row {
	var broken []*pb.Row
	for _, row := range rows {
		if row.Expected == "" || row.Absent {
			continue
		}
		if row.Error != "" || row.Found != row.Expected {
			broken = append(broken, row)
		}
	}
	return broken
}

// childText reads a file of the child; a child that ended is no kernel without that file.
func (r *Reader) childText(pid int, name string) (string, error) {
	if pid == 0 {
		return "", errNoChild
	}
	folder := "proc/" + strconv.Itoa(pid) + "/"
	text, err := r.Root.Text(folder + name)
	if gone(err) {
		if _, alive := r.Root.Text(folder + "stat"); alive != nil {
			return "", errNoChild
		}
	}
	return text, err
}

// gone says that an error means that a process or thread has ended: its folder vanishes, its open files give ESRCH.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }
