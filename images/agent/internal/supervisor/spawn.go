package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sealbench.org/agent/internal/cpulist"
	"sealbench.org/agent/internal/kernelfs"
)

// RecordsVariable tells the program which descriptor takes its records.
const RecordsVariable = "REPRO_FD"

const recordsFD = 3

// pipeBytes lets the program write a batch without waiting for the agent; it is the kernel's limit for ordinary users.
const pipeBytes = 1 << 20

// AffinityError says that the kernel refused to put the program on its CPUs.
type AffinityError struct{ Err error }

func (e *AffinityError) Error() string { return e.Err.Error() }
func (e *AffinityError) Unwrap() error { return e.Err }

// Program is what to start and where.
type Program struct {
	Args         []string
	Environment  []string // as the program gets it, but for REPRO_FD
	WorkloadCPUs []int
	AgentCPUs    []int
}

// Child is a started program.
type Child struct {
	PID     int
	Records *os.File // what it writes to REPRO_FD
}

// Environment is what the program gets: all but the named variables.
func Environment(all []string, without ...string) []string {
	var kept []string
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(without, name) {
			kept = append(kept, variable)
		}
	}
	return kept
}

// Start starts the program. Errors wrap fs.ErrNotExist for a missing file, or are *AffinityError.
func Start(program Program) (Child, error) {
	path, err := exec.LookPath(program.Args[0])
	if err != nil {
		return Child{}, err
	}
	if err := checkWrapped(program.Args); err != nil {
		return Child{}, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return Child{}, err
	}
	defer writer.Close()
	// A smaller pipe only makes the program wait now and then.
	_, _ = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, pipeBytes)
	environment := append(Environment(program.Environment, RecordsVariable), RecordsVariable+"="+strconv.Itoa(recordsFD))
	pid, err := forkOn(program, path, &syscall.ProcAttr{
		Env: environment, Files: []uintptr{0, 1, 2, writer.Fd()},
	})
	if err != nil {
		_ = reader.Close()
		return Child{}, err
	}
	return Child{PID: pid, Records: reader}, nil
}

// forkOn forks from a thread that has the program's affinity for just that moment: a child inherits the mask of the
// thread that makes it. The Go runtime starts no threads from a locked one, so none of the agent's get that mask.
func forkOn(program Program, path string, attr *syscall.ProcAttr) (int, error) {
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, cpulist.Mask(program.WorkloadCPUs)); err != nil {
		runtime.UnlockOSThread()
		return 0, &AffinityError{fmt.Errorf("set the program's affinity to %s: %w", cpulist.Format(program.WorkloadCPUs), err)}
	}
	pid, err := syscall.ForkExec(path, program.Args, attr)
	if back := unix.SchedSetaffinity(0, cpulist.Mask(program.AgentCPUs)); back != nil {
		// The thread stays locked, so that Go throws it away with its wrong mask.
		return pid, errors.Join(err, &AffinityError{back})
	}
	runtime.UnlockOSThread()
	return pid, err
}

const numactl = "numactl"

// separator ends numactl's own options.
const separator = "--"

// wrapped is the program that numactl is to start, or "".
func wrapped(args []string) string {
	if filepath.Base(args[0]) != numactl {
		return ""
	}
	if i := slices.Index(args, separator); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// checkWrapped finds out beforehand what numactl would only say with exit code 1.
func checkWrapped(args []string) error {
	if program := wrapped(args); program != "" {
		_, err := exec.LookPath(program)
		return err
	}
	return nil
}

// Polling for numactl's exec happens before the program works, so it may be quick. The limit is for a slow machine (on
// an emulated one numactl took more than 2 s): read earlier, its memory policy would look like a broken limit.
const (
	execPoll  = time.Millisecond
	execLimit = 20 * time.Second
)

// AwaitExec waits until numactl has become the program; false when it did not within 20 s or the child ended.
// ForkExec itself returns during the first exec: the kernel closes descriptors before it has laid out the new stack, and
// for a moment the child may still look like the agent that it was forked from (seen on a slow machine: read then, the
// memory policy was the agent's).
func AwaitExec(root kernelfs.Root, pid int, args []string) bool {
	program, before := args[0], formerNames(root)
	if filepath.Base(args[0]) == numactl {
		program, before = wrapped(args), append(before, numactl)
	}
	// A program of the same name as ours cannot be told apart by it.
	before = slices.DeleteFunc(before, func(name string) bool { return name == filepath.Base(program) })
	for deadline := time.Now().Add(execLimit); time.Now().Before(deadline); time.Sleep(execPoll) {
		name, err := runningFile(root, pid)
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err == nil && name != "" && !slices.Contains(before, name) && laidOut(root, pid) {
			return true
		}
	}
	return false
}

// formerNames is what this process is called, by its file and by its command name.
func formerNames(root kernelfs.Root) []string {
	var names []string
	if link, err := os.Readlink(root.Path("proc/self/exe")); err == nil {
		names = append(names, filepath.Base(link))
	}
	if name, err := root.Text("proc/self/comm"); err == nil && name != "" {
		names = append(names, name)
	}
	return names
}

// laidOut says whether an exec is over: until then the environment is empty, and ours never is. One that its user may not
// read says nothing.
func laidOut(root kernelfs.Root, pid int) bool {
	environment, err := root.Text("proc/" + strconv.Itoa(pid) + "/environ")
	return err != nil || environment != ""
}

// runningFile is the base name of the file that a process runs; of a zombie it is "".
func runningFile(root kernelfs.Root, pid int) (string, error) {
	folder := "proc/" + strconv.Itoa(pid)
	link, err := os.Readlink(root.Path(folder + "/exe"))
	if err == nil {
		return filepath.Base(link), nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return "", err
	}
	// A file that its user may not read cannot be looked at through exe; the command name still can.
	return root.Text(folder + "/comm")
}
