package readback

import (
	"fmt"
	"io/fs"
	"strconv"

	"sealbench.org/agent/internal/kernelfs"
)

// agentAffinity looks at every thread of the agent: Go starts threads when it likes, from whichever it likes.
func (r *Reader) agentAffinity() (string, error) {
	var common affinity
	if err := common.addProcess(r.Root, strconv.Itoa(r.AgentPID)); err != nil {
		return "", err
	}
	return common.value()
}

// workloadAffinity looks at every thread of the child's tree. Affinity is no gate: a program may set its own again.
func (r *Reader) workloadAffinity() (string, error) {
	if r.ChildPID == 0 {
		return "", errNoChild
	}
	pids, err := r.tree()
	if err != nil {
		return "", err
	}
	var common affinity
	for _, pid := range pids {
		if err := common.addProcess(r.Root, strconv.Itoa(pid)); err != nil && !gone(err) {
			return "", err
		}
	}
	return common.value()
}

type affinity struct {
	list        string
	otherThread int
	otherList   string
}

func (a *affinity) addProcess(root kernelfs.Root, pid string) error {
	threads, err := root.Threads(pid)
	if err != nil {
		return err
	}
	for _, thread := range threads {
		status, err := root.Text(fmt.Sprintf("proc/%s/task/%d/status", pid, thread))
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		list, ok := kernelfs.Field([]byte(status), "Cpus_allowed_list:")
		switch {
		case !ok:
			return fmt.Errorf("status has no Cpus_allowed_list: %w", fs.ErrNotExist)
		case a.list == "":
			a.list = string(list)
		case a.list != string(list) && a.otherThread == 0:
			a.otherThread, a.otherList = thread, string(list)
		}
	}
	return nil
}

func (a *affinity) value() (string, error) {
	if a.list == "" {
		return "", errNoChild
	}
	if a.otherThread != 0 {
		return fmt.Sprintf("%s (thread %d: %s)", a.list, a.otherThread, a.otherList), nil
	}
	return a.list, nil
}
