package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/kernelfs"
)

// TestMain makes the test binary a small PID 1 when it is told so: only a process of its own may collect every child.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "reaper" {
		reaper()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// reaper adopts orphans as PID 1 does and prints what it collected.
func reaper() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	signals := Signals()
	child, err := Start(Program{Args: []string{"/bin/sh", "-c", "(sleep 0.2; exit 5) & exit 3"}, WorkloadCPUs: []int{0}, AgentCPUs: []int{0}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for limit := time.After(2 * time.Minute); ; {
		select {
		case <-signals:
			for _, exit := range Reap() {
				fmt.Println(exit.PID == child.PID, exit.Code)
				if exit.PID != child.PID {
					return
				}
			}
		case <-limit:
			fmt.Println("no orphan")
			return
		}
	}
}

func TestOrphansAreReaped(t *testing.T) {
	self, _ := os.Executable()
	output, err := exec.Command(self, "reaper").CombinedOutput()
	if got := strings.TrimSpace(string(output)); err != nil || got != "true 3\nfalse 5" {
		t.Errorf("collected %q, %v", got, err)
	}
}

func TestTheEnvironmentLosesOnlyTheNamed(t *testing.T) {
	got := Environment([]string{"A=1", "REPRO_AGENT={}", "REPRO_AGENTS=2", "B="}, "REPRO_AGENT")
	if !slices.Equal(got, []string{"A=1", "REPRO_AGENTS=2", "B="}) {
		t.Errorf("got %v", got)
	}
}

func TestNumactlsProgramIsFound(t *testing.T) {
	for want, args := range map[string][]string{
		"/x": {"/usr/bin/numactl", "--membind=0", "--", "/x", "-v"}, "": {"/repro/workload", "--", "/x"},
	} {
		if got := wrapped(args); got != want {
			t.Errorf("%v wraps %q, want %q", args, got, want)
		}
	}
	if err := checkWrapped([]string{"numactl", "--", "/nowhere"}); err == nil {
		t.Error("a missing program behind numactl was not noticed")
	}
}

func TestACPUThatIsNotThereIsAnAffinityError(t *testing.T) {
	_, err := Start(Program{Args: []string{"/bin/true"}, WorkloadCPUs: []int{1023}, AgentCPUs: []int{0}})
	if _, ok := err.(*AffinityError); !ok {
		t.Errorf("got %v", err)
	}
}

func TestAChildThatStillLooksLikeTheAgentIsNotTheProgram(t *testing.T) {
	root := t.TempDir()
	own, child := filepath.Join(root, "proc", "self"), filepath.Join(root, "proc", "7")
	if err := errors.Join(os.MkdirAll(own, 0o755), os.MkdirAll(child, 0o755),
		os.Symlink("/repro/agent", filepath.Join(own, "exe")), os.Symlink("/repro/agent", filepath.Join(child, "exe")),
		os.WriteFile(filepath.Join(child, "environ"), []byte("A=1\x00"), 0o644)); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	go func() {
		time.Sleep(50 * time.Millisecond)
		over.Store(true)
		_ = os.Remove(filepath.Join(child, "exe"))
		_ = os.Symlink("/repro/workload", filepath.Join(child, "exe"))
	}()
	// The file is away for a moment, which counts as a process that is gone: only a true answer must be late.
	if AwaitExec(kernelfs.Root(root), 7, []string{"numactl", "--", "/repro/workload"}) && !over.Load() {
		t.Error("the agent's own image was taken for the program")
	}
}

// The file changes first, the environment comes last: in between a reader would find a program without one.
func TestAnExecIsAwaitedToItsEnd(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "proc", "7")
	environment := filepath.Join(folder, "environ")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.Symlink("/repro/workload", filepath.Join(folder, "exe")), os.WriteFile(environment, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	var laidOut atomic.Bool
	go func() {
		time.Sleep(50 * time.Millisecond)
		laidOut.Store(true)
		_ = os.WriteFile(environment, []byte("REPRO_FD=3\x00"), 0o644)
	}()
	for _, args := range [][]string{{"numactl", "--", "/repro/workload"}, {"/repro/workload"}} {
		if !AwaitExec(kernelfs.Root(root), 7, args) || !laidOut.Load() {
			t.Errorf("%v: did not wait for the environment", args)
		}
	}
	if AwaitExec(kernelfs.Root(root), 8, []string{"numactl", "--", "/repro/workload"}) {
		t.Error("a process that is gone runs a program")
	}
}
