package agent

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/journal"
	"sealbench.org/agent/internal/pb"
)

// TestMain makes the test binary the agent, or the program that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "agent" {
		os.Exit(Run(os.Args[2:], os.Environ(), clock.OwnCPU()))
	}
	if len(os.Args) > 2 && os.Args[1] == "program" {
		program(os.Args[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// running is an agent process with its journal.
type running struct {
	t       *testing.T
	command *exec.Cmd
	journal string
	stderr  strings.Builder
}

func start(t *testing.T, settings map[string]any, args ...string) *running {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	r := &running{t: t, journal: filepath.Join(t.TempDir(), "journal.pb")}
	all := map[string]any{"schema": "repro.agent/1", "role": "sdk", "workload_cpus": "0", "agent_cpus": "1", "journal": r.journal, "window_seconds": 0.5}
	for key, value := range settings {
		all[key] = value
	}
	text, _ := json.Marshal(all)
	self, _ := os.Executable()
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "SELF", self)
	}
	r.command = exec.Command(self, append([]string{"agent"}, args...)...)
	r.command.Env = append(os.Environ(), "REPRO_AGENT="+string(text), "HOSTNAME=secret")
	r.command.Stderr = &r.stderr
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.command.Process.Kill() })
	return r
}

func (r *running) wait() int {
	_ = r.command.Wait()
	return r.command.ProcessState.ExitCode()
}

func (r *running) records() []*pb.Record {
	r.t.Helper()
	data, err := os.ReadFile(r.journal)
	if err != nil {
		r.t.Fatal(err)
	}
	records, left, err := journal.Read(data)
	if err != nil || left != 0 {
		r.t.Fatalf("journal: %d left, %v", left, err)
	}
	for i, record := range records {
		if record.Sequence != uint64(i+1) {
			r.t.Fatalf("record %d has sequence %d", i+1, record.Sequence)
		}
	}
	return records
}

// await waits until the journal holds a text that the program wrote.
func (r *running) await(text string) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, _ := os.ReadFile(r.journal); strings.Contains(string(data), text) {
			return
		}
	}
	r.t.Fatalf("%q never came; stderr: %s", text, r.stderr.String())
}

func row(records []*pb.Record, when, id string) string {
	for _, record := range records {
		if readback := record.GetReadback(); readback != nil && readback.When == when {
			for _, row := range readback.Rows {
				if row.Id == id {
					return row.Found
				}
			}
		}
	}
	return "(none)"
}

func childExit(records []*pb.Record) *pb.ChildExit {
	return records[len(records)-1].GetChildExit()
}

func TestTheProgramsExitCodeAndEnvironmentPassThrough(t *testing.T) {
	r := start(t, nil, "SELF", "program", "environment")
	if code := r.wait(); code != 7 {
		t.Errorf("exit code %d, stderr %s", code, r.stderr.String())
	}
	records := r.records()
	if exit := childExit(records); exit.GetExitCode() != 7 || records[0].GetHello() == nil {
		t.Errorf("records %v", records)
	}
}

func TestABrokenRowKeepsTheProgramFromStarting(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "started")
	r := start(t, map[string]any{"expect": map[string]string{"agent.affinity": "0", "user": ""}}, "/bin/touch", mark)
	if code := r.wait(); code != exitRefused {
		t.Errorf("exit code %d", code)
	}
	records := r.records()
	refused := records[len(records)-1].GetRefused()
	if refused == nil || len(refused.Rows) != 1 || refused.Rows[0].Id != "agent.affinity" {
		t.Errorf("refused %v", refused)
	}
	if text := r.stderr.String(); !strings.Contains(text, `row agent.affinity: expected "0", found "1"`) {
		t.Errorf("stderr %q", text)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the program was started")
	}
}

func TestABrokenRowOfTheProgramEndsIt(t *testing.T) {
	r := start(t, map[string]any{"expect": map[string]string{"mems.allowed": "17"}}, "SELF", "program", "sleep")
	if code := r.wait(); code != exitRefused || !strings.Contains(r.stderr.String(), "mems.allowed") {
		t.Errorf("exit code %d, stderr %s", code, r.stderr.String())
	}
}

func TestSignalsReachTheProgram(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		r := start(t, nil, "SELF", "program", "signal")
		r.await("waiting")
		_ = r.command.Process.Signal(sig)
		if code := r.wait(); code != int(sig) { // the program exits with the signal's number
			t.Errorf("%v: exit code %d", sig, code)
		}
	}
}

func TestAKilledProgramGives128PlusTheSignal(t *testing.T) {
	r := start(t, nil, "/bin/sh", "-c", "kill -9 $$")
	if code := r.wait(); code != 137 || childExit(r.records()).GetSignal() != 9 {
		t.Errorf("exit code %d", code)
	}
}

func TestPlannedEndTermsThenKills(t *testing.T) {
	begin := time.Now()
	r := start(t, map[string]any{"stop_after_seconds": 3}, "SELF", "program", "stubborn") // it must be deaf by then
	if code := r.wait(); code != 137 || time.Since(begin) < 5*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
	if row(r.records(), "end", "workload.affinity") != "0" {
		t.Error("no read-back at the planned end")
	}
}

func TestMissingAndUnexecutablePrograms(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/nowhere/program": exitNotFound, "no-such-program": exitNotFound, data: exitNotExecutable} {
		r := start(t, nil, path)
		if code := r.wait(); code != want {
			t.Errorf("%s: exit code %d, want %d", path, code, want)
		}
		if records := r.records(); records[len(records)-1].GetRefused() == nil {
			t.Errorf("%s: no record of why", path)
		}
	}
}

func TestAProgramThatMovesItselfIsSeenByTheNextWindow(t *testing.T) {
	// The change comes a second after the end of a window and a second before the next: looks may be late.
	r := start(t, map[string]any{"window_seconds": 2}, "SELF", "program", "reset")
	if code := r.wait(); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, r.stderr.String())
	}
	records := r.records()
	if first := row(records, "window:0", "workload.affinity"); first != "0" {
		t.Errorf("window 0: %q", first)
	}
	second := row(records, "window:1", "workload.affinity")
	if !strings.Contains(second, "0-1") {
		t.Errorf("window 1 does not show the change: %q", second)
	}
	if row(records, "end", "workload.affinity") == "(none)" {
		t.Error("no read-back at drain")
	}
}

func TestWindowsEndOnTheProgramsClock(t *testing.T) {
	r := start(t, nil, "SELF", "program", "measure")
	if code := r.wait(); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, r.stderr.String())
	}
	var t0 int64
	var windows []int32
	for _, record := range r.records() {
		if phase := record.GetPhase(); phase.GetName() == "measure" {
			t0 = phase.ProgramMonotonicNs
		}
		if end := record.GetWindowEnd(); end != nil {
			windows = append(windows, end.Index)
			if late := record.MonotonicNs - t0 - int64(end.Index+1)*second/2; late < 0 { // how late is the machine's affair
				t.Errorf("window %d ended %d ns early", end.Index, -late)
			}
		}
	}
	if !slices.Equal(windows, []int32{0, 1}) {
		t.Errorf("windows %v, want two in 1.2 s", windows)
	}
}

// collector keeps what it gets and then either releases the agent or is stopped by the test.
type collector struct {
	pb.UnimplementedCollectorServer
	records chan *pb.Record
}

func (c *collector) Attach(call grpc.BidiStreamingServer[pb.Chunk, pb.Directive]) error {
	for {
		chunk, err := call.Recv()
		if err != nil {
			return call.Send(&pb.Directive{Release: true})
		}
		for _, record := range chunk.Records {
			c.records <- record
		}
	}
}

func serve(t *testing.T) (*grpc.Server, *collector, string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "ag") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server, c := grpc.NewServer(), &collector{records: make(chan *pb.Record, 10000)}
	pb.RegisterCollectorServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return server, c, socket
}

func TestTheStreamCarriesWhatTheJournalHolds(t *testing.T) {
	_, c, socket := serve(t)
	r := start(t, map[string]any{"socket": socket}, "SELF", "program", "measure")
	if code := r.wait(); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, r.stderr.String())
	}
	close(c.records)
	var streamed []string
	for record := range c.records {
		streamed = append(streamed, fmt.Sprint(record))
	}
	var written []string
	for _, record := range r.records() {
		written = append(written, fmt.Sprint(record))
	}
	if len(streamed) != len(written) {
		t.Errorf("%d records streamed, %d in the journal", len(streamed), len(written))
	}
}

func TestALostStreamDoesNotEndTheProgram(t *testing.T) {
	server, c, socket := serve(t)
	r := start(t, map[string]any{"socket": socket}, "SELF", "program", "measure")
	<-c.records
	server.Stop()
	if code := r.wait(); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, r.stderr.String())
	}
	if records := r.records(); childExit(records) == nil || row(records, "end", "workload.affinity") != "0" {
		t.Error("the journal is not complete")
	}
}

func TestConfigurationErrorsAndUsedJournals(t *testing.T) {
	if code := start(t, map[string]any{"bogus": 1}, "/bin/true").wait(); code != exitUsage {
		t.Errorf("unknown key: exit code %d", code)
	}
	if code := start(t, map[string]any{"journal": "/nowhere/journal.pb"}, "/bin/true").wait(); code != exitJournal {
		t.Errorf("no journal: exit code %d", code)
	}
	used := filepath.Join(t.TempDir(), "used")
	_ = os.WriteFile(used, []byte("x"), 0o644)
	if code := start(t, map[string]any{"journal": used}, "/bin/true").wait(); code != exitJournal {
		t.Errorf("used journal: exit code %d", code)
	}
}

func TestReadinessIsRecordedOrEndsTheProgram(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := "tcp:" + listener.Addr().String()
	r := start(t, map[string]any{"ready": ready, "stop_after_seconds": 3}, "SELF", "program", "sleep")
	r.wait()
	if !slices.ContainsFunc(r.records(), func(record *pb.Record) bool { return record.GetReady().GetProbe() == ready }) {
		t.Error("no Ready record")
	}
	_ = listener.Close()
	r = start(t, map[string]any{"ready": ready, "ready_timeout_seconds": 0.3}, "SELF", "program", "sleep")
	if code := r.wait(); code != exitNotReady || childExit(r.records()) == nil {
		t.Errorf("exit code %d, stderr %s", code, r.stderr.String())
	}
}
