package agent

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/pb"
	"sealbench.org/agent/internal/probe"
	"sealbench.org/agent/internal/readback"
	"sealbench.org/agent/internal/supervisor"
)

const (
	everySecondNs = clock.SecondNs - clock.SecondNs/20 // a tick that is a little early still counts
	// After a window's end the send waits for the next tick, so that the program's last batch is in it without a wake-up of its own.
	sendDelayNs = clock.SecondNs / 2
	// An orphan may hold the pipe open after the program has ended.
	lastLinesLimit = 500 * time.Millisecond
)

// loop watches the program until it ends; all state is touched by this goroutine only.
func (s *session) loop(pieces <-chan []byte, ack chan<- struct{}) int {
	started := clock.Monotonic()
	s.schedule = newSchedule(started, int64(s.config.Window), s.config.SampleHz)
	s.addSample(false)
	tick := time.NewTimer(0)
	ready := s.probe()
	stop := timer(s.config.StopAfter)
	directives := s.directives()
	for {
		select {
		case <-tick.C:
			s.tick()
			tick.Reset(s.untilNext())
		case piece, open := <-pieces:
			if !open {
				pieces = nil
				continue
			}
			state := s.schedule.state
			s.take(piece)
			ack <- struct{}{}
			if s.schedule.state != state {
				tick.Reset(s.untilNext())
			}
		case sig := <-s.signals:
			if exit, ended := s.signal(sig); ended {
				return s.ended(exit, pieces, ack)
			}
		case err := <-ready:
			s.ready(err, started)
		case directive, open := <-directives:
			if !open {
				directives = nil
				s.recorder.Detach()
				continue
			}
			s.directive(directive)
			tick.Reset(s.untilNext())
		case <-stop:
			s.readEnd()
			s.terminate()
		case <-s.kill:
			supervisor.Forward(s.child.PID, syscall.SIGKILL)
		}
	}
}

func (s *session) tick() {
	now := clock.Monotonic()
	if ended := s.schedule.due(now); len(ended) > 0 {
		s.endWindows(ended)
		return
	}
	if hz := s.config.SampleHz; hz > 0 && now-s.lastSample >= int64(0.95*float64(clock.SecondNs)/hz) {
		s.addSample(now-s.lastFull < everySecondNs)
	}
	if now-s.lastFlush >= everySecondNs {
		s.addLines()
		s.flush()
		if s.schedule.state != measuring {
			s.recorder.Send()
		}
	}
	if s.sendOwedAt != 0 && now >= s.sendOwedAt {
		s.addLines()
		s.publish()
	}
}

// endWindows records the state at a window's end.
func (s *session) endWindows(windows []int) {
	for _, k := range windows {
		s.addLines()
		s.addSample(false)
		s.readBack(fmt.Sprintf("window:%d", k), readback.All)
		s.add(&pb.Record{Kind: &pb.Record_WindowEnd{WindowEnd: &pb.WindowEnd{Index: int32(k)}}})
	}
	if len(windows) > 0 {
		s.flush()
		s.sendOwedAt = clock.Monotonic() + sendDelayNs
	}
}

// take handles bytes from the program.
func (s *session) take(piece []byte) { s.lines.add(piece, s.addLines, s.phase) }

func (s *session) phase(mark phaseMark) {
	s.addLines()
	s.add(&pb.Record{Kind: &pb.Record_Phase{Phase: &pb.Phase{Name: mark.Name, ProgramMonotonicNs: mark.Ns}}})
	switch mark.Name {
	case "measure":
		s.measure(mark.Ns)
	case "drain", "done":
		s.drain(mark.Ns)
	default:
		s.publish()
	}
}

// measure begins window 0.
func (s *session) measure(t0 int64) {
	if s.schedule.state != before {
		return
	}
	if !s.schedule.measure(t0, clock.Monotonic()) {
		s.say(0, "the program's t0 is more than a minute away from now: no windows")
		return
	}
	s.addSample(false)
	s.publish()
}

func (s *session) drain(at int64) {
	s.endWindows(s.schedule.drain(at))
	s.readEnd()
	s.publish()
}

// readEnd reads all rows a last time, once, while the program still runs.
func (s *session) readEnd() {
	if s.endRead {
		return
	}
	s.endRead = true
	s.addLines()
	s.addSample(false)
	s.readBack("end", readback.All)
	s.flush()
}

func (s *session) signal(sig os.Signal) (supervisor.Exit, bool) {
	switch sig {
	case syscall.SIGCHLD:
		for _, exit := range supervisor.Reap() {
			if exit.PID == s.child.PID {
				return exit, true
			}
		}
		return supervisor.Exit{}, false
	case syscall.SIGTERM, syscall.SIGINT:
		s.readEnd()
	}
	supervisor.Forward(s.child.PID, sig)
	return supervisor.Exit{}, false
}

func (s *session) probe() <-chan error {
	if s.config.Ready == "" {
		return nil
	}
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.ReadyTimeout)
		defer cancel()
		result <- probe.Wait(ctx, s.config.Ready)
	}()
	return result
}

func (s *session) ready(err error, started int64) {
	if err == nil {
		s.add(&pb.Record{Kind: &pb.Record_Ready{Ready: &pb.Ready{Probe: s.config.Ready, WaitedNs: clock.Monotonic() - started}}})
		s.publish()
		return
	}
	s.override = s.say(exitNotReady, "not ready within %v: %s: %v", s.config.ReadyTimeout, s.config.Ready, err)
	s.terminate()
}

func (s *session) directives() <-chan *pb.Directive {
	if s.client == nil {
		return nil
	}
	return s.client.Directives()
}

// directive lets the host hand the SDK container's phases to a program that has none of its own.
func (s *session) directive(directive *pb.Directive) {
	s.released = s.released || directive.GetRelease()
	if ns := directive.GetMeasureNs(); ns != 0 {
		s.measure(ns)
	}
	if ns := directive.GetDrainNs(); ns != 0 && s.schedule.state == measuring {
		s.drain(ns)
	}
}

// ended records the program's end. What it still wrote is in the pipe.
func (s *session) ended(exit supervisor.Exit, pieces <-chan []byte, ack chan<- struct{}) int {
	limit := time.After(lastLinesLimit)
	for pieces != nil {
		select {
		case piece, open := <-pieces:
			if !open {
				pieces = nil
				continue
			}
			s.take(piece)
			ack <- struct{}{}
		case <-limit:
			pieces = nil
		}
	}
	s.lines.finish()
	s.addLines()
	s.reader.ChildPID = 0
	s.readEnd()
	kills, _ := s.group.OOMKills()
	s.add(&pb.Record{Kind: &pb.Record_ChildExit{ChildExit: &pb.ChildExit{
		ExitCode: int32(exit.Code), Signal: int32(exit.Signal), OomKills: kills - s.oomBaseline}}})
	s.publish()
	if s.override != 0 {
		return s.override
	}
	return exit.Code
}

func (s *session) untilNext() time.Duration {
	now := clock.Monotonic()
	return time.Duration(s.schedule.next(now) - now)
}

// timer is a timer that never fires for 0.
func timer(duration time.Duration) <-chan time.Time {
	if duration == 0 {
		return nil
	}
	return time.After(duration)
}
