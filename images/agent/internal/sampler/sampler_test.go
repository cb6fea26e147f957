package sampler

import (
	"os"
	"os/exec"
	"testing"

	"sealbench.org/agent/internal/cgroup"
	"sealbench.org/agent/internal/kernelfs"
)

// The fixture trees are those of the read-back; their process numbers exist on no machine.
const (
	agentPID = 5000001
	childPID = 5000007
)

func TestBothVersionsGiveTheSameSample(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		root := kernelfs.Root("../readback/testdata/" + version)
		group, err := cgroup.Find(root)
		if err != nil {
			t.Fatal(err)
		}
		s := New(root, group, agentPID, 0)
		s.baselineGroupCPU = 0
		s.Child(childPID)
		got := s.Sample(false)
		if got.Processes != 2 || got.Threads != 4 || got.CpuUserNs != 2*600e6 || got.CpuSystemNs != 2*400e6 {
			t.Errorf("%s: tree %v", version, got)
		}
		if got.RssAnonBytes != 2*4000*1024 || got.RssShmemBytes != 2*500*1024 || got.RssPeakBytes != 9000*1024 ||
			got.MajorFaults != 14 || got.ContextSwitchesVoluntary != 40 || got.ContextSwitchesInvoluntary != 12 || got.RunQueueWaitNs != 8000 {
			t.Errorf("%s: memory and scheduling %v", version, got)
		}
		if got.CgroupMemoryBytes != 1000000 || got.CgroupSwapBytes != 4096 || got.CgroupCpuNs != 7000000 ||
			got.CgroupThrottledPeriods != 2 || got.CgroupThrottledNs != 3000000 || got.CgroupPids != 4 {
			t.Errorf("%s: group %v", version, got)
		}
		if got.AgentRssBytes != int64(500*os.Getpagesize()) {
			t.Errorf("%s: agent RSS %d", version, got.AgentRssBytes)
		}
	}
}

func TestWhatEndedStillCounts(t *testing.T) {
	group, err := cgroup.Find("/")
	if err != nil {
		t.Skip(err)
	}
	s := New("/", group, os.Getpid(), 0)
	// Enough work for several of the kernel's ticks of 10 ms, on a fast machine, too.
	child := exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo; read line")
	input, _ := child.StdinPipe()
	output, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = output.Read(make([]byte, 1))
	s.Child(child.Process.Pid)
	during := s.Sample(false)
	_ = input.Close()
	_ = child.Wait()
	later := s.Sample(false)
	if during.Processes != 1 || during.CpuUserNs+during.CpuSystemNs == 0 || during.RssPeakBytes == 0 {
		t.Errorf("while it ran: %v", during)
	}
	if later.Processes != 0 || later.CpuUserNs != during.CpuUserNs || later.ContextSwitchesVoluntary != during.ContextSwitchesVoluntary ||
		later.RssAnonBytes != 0 || later.RssPeakBytes != during.RssPeakBytes {
		t.Errorf("afterwards: %v, while it ran: %v", later, during)
	}
}
