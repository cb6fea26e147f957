// Package agent is the order of events in a container's life.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"time"

	"sealbench.org/agent/internal/cgroup"
	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/config"
	"sealbench.org/agent/internal/journal"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/pb"
	"sealbench.org/agent/internal/readback"
	"sealbench.org/agent/internal/record"
	"sealbench.org/agent/internal/sampler"
	"sealbench.org/agent/internal/stream"
	"sealbench.org/agent/internal/supervisor"
)

// Version is in every journal.
const Version = "1"

// Exit codes of the agent itself; otherwise it ends with the program's code.
const (
	exitUsage         = 64
	exitNotReady      = 69
	exitInternal      = 70
	exitRefused       = 71
	exitJournal       = 74
	exitNotExecutable = 126
	exitNotFound      = 127
)

// dialLimit is how long the host's collector may take to answer.
const dialLimit = 2 * time.Second

// session is one container's life.
type session struct {
	config   config.Config
	args     []string
	root     kernelfs.Root
	group    cgroup.Group
	recorder *record.Recorder
	client   *stream.Client // nil: no stream
	reader   *readback.Reader
	sampler  *sampler.Sampler
	signals  <-chan os.Signal
	stderr   io.Writer

	child       supervisor.Child
	schedule    schedule
	lines       lineBuffer
	override    int // exit code that beats the child's; 0: none
	endRead     bool
	released    bool
	sendOwedAt  int64 // 0: nothing owed
	lastFlush   int64
	lastSample  int64
	lastFull    int64
	oomBaseline int64
	kill        <-chan time.Time
}

// Run is the whole program; it returns the exit code. baselineCPU is the process's CPU time at main.
func Run(args, environment []string, baselineCPU int64) int {
	s := &session{args: args, root: "/", stderr: os.Stderr}
	var err error
	if s.config, err = config.Parse(os.Getenv(config.Variable), readback.IDs()); err != nil {
		return s.say(exitUsage, "%v", err)
	}
	if len(args) == 0 {
		return s.say(exitUsage, "no command: the program to start and its arguments must follow")
	}
	if s.group, err = cgroup.Find(s.root); err != nil {
		return s.say(exitInternal, "find the control group: %v", err)
	}
	if err := s.openRecorder(); err != nil {
		return s.say(exitJournal, "open the journal: %v", err)
	}
	s.signals = supervisor.Signals()
	s.reader = &readback.Reader{Root: s.root, Group: s.group, AgentPID: os.Getpid(), Environment: environment, Expect: s.config.Expect}
	s.sampler = sampler.New(s.root, s.group, os.Getpid(), baselineCPU)
	s.oomBaseline, _ = s.group.OOMKills()
	s.add(&pb.Record{Kind: &pb.Record_Hello{Hello: &pb.Hello{AgentVersion: Version, Role: s.config.Role, CgroupVersion: s.group.Version(),
		WallUnixNs: clock.Wall(), BaselineCpuNs: baselineCPU, GoVersion: runtime.Version()}}})
	s.flush()
	s.dial()
	code := s.launch(environment)
	s.finish()
	return code
}

func (s *session) openRecorder() error {
	var file *journal.Writer
	var stdout io.Writer
	if s.config.Journal != "" {
		var err error
		if file, err = journal.Create(s.config.Journal); err != nil {
			return err
		}
	} else if s.config.Socket == "" {
		stdout = os.Stdout
	}
	s.recorder = record.New(file, stdout)
	s.recorder.Expecting(s.config.Socket != "")
	return nil
}

// dial connects to the collector. Without it the journal alone goes on: the host sees the missing stream and decides.
func (s *session) dial() {
	if s.config.Socket == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	client, err := stream.Dial(ctx, s.config.Socket)
	if err != nil {
		s.say(0, "no stream: %v", err)
		s.recorder.Detach()
		return
	}
	s.client = client
	s.recorder.Attach(client)
}

// launch checks, starts and watches the program; it returns the exit code.
func (s *session) launch(environment []string) int {
	if err := supervisor.PinSelf(s.root, s.config.AgentCPUs); err != nil {
		return s.refuse("agent.affinity: "+err.Error(), nil)
	}
	if broken := s.readBack("start", readback.Own); len(broken) > 0 {
		return s.refuse("a limit does not hold inside the container", broken)
	}
	s.publish()
	if sig := s.pendingStop(); sig != nil {
		return supervisor.ExitCode(sig)
	}
	if s.override != 0 {
		return s.override
	}
	var err error
	s.child, err = supervisor.Start(supervisor.Program{Args: s.args, WorkloadCPUs: s.config.WorkloadCPUs, AgentCPUs: s.config.AgentCPUs,
		Environment: supervisor.Environment(environment, config.Variable, config.HostVariable)})
	if err != nil {
		return s.startFailed(err)
	}
	s.reader.ChildPID = s.child.PID
	s.sampler.Child(s.child.PID)
	pieces, ack := make(chan []byte), make(chan struct{})
	go pump(s.child.Records, pieces, ack)
	running := supervisor.AwaitExec(s.root, s.child.PID, s.args)
	if err := supervisor.PinSelf(s.root, s.config.AgentCPUs); err != nil {
		s.say(0, "%v", err)
	}
	// A child that has ended already is the loop's business: it has an exit code.
	if running || s.alive() {
		if broken := s.readBack("start", readback.Child); len(broken) > 0 && s.alive() {
			s.killChild()
			return s.refuse("a limit does not hold for the program", broken)
		}
		s.publish()
	}
	return s.loop(pieces, ack)
}

func (s *session) startFailed(err error) int {
	var affinity *supervisor.AffinityError
	switch {
	case errors.As(err, &affinity):
		return s.refuse("workload.affinity: "+err.Error(), nil)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		s.refuse("start the program: "+err.Error(), nil)
		return exitNotFound
	default:
		s.refuse("start the program: "+err.Error(), nil)
		return exitNotExecutable
	}
}

// readBack records rows and returns those that are broken.
func (s *session) readBack(when string, scope readback.Scope) []*pb.Row {
	rows := s.reader.Read(scope)
	s.add(&pb.Record{Kind: &pb.Record_Readback{Readback: &pb.Readback{When: when, Rows: rows}}})
	return readback.Broken(rows)
}

// refuse records why the program does not run.
func (s *session) refuse(reason string, broken []*pb.Row) int {
	s.add(&pb.Record{Kind: &pb.Record_Refused{Refused: &pb.Refused{Reason: reason, Rows: broken}}})
	s.publish()
	s.say(exitRefused, "refused: %s", reason)
	for _, row := range broken {
		found := fmt.Sprintf("%q", row.Found)
		if row.Error != "" {
			found = row.Error
		}
		s.say(exitRefused, "refused: row %s: expected %q, found %s", row.Id, row.Expected, found)
	}
	return exitRefused
}

// say writes to stderr and returns the code.
func (s *session) say(code int, format string, values ...any) int {
	fmt.Fprintf(s.stderr, "repro-agent: "+format+"\n", values...)
	return code
}
