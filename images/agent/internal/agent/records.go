package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"sealbench.org/agent/internal/clock"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/pb"
	"sealbench.org/agent/internal/supervisor"
)

// add appends a record; a journal that cannot be written ends the launch, since it is the truth.
func (s *session) add(record *pb.Record) { s.journalFailed(s.recorder.Add(record)) }

// flush brings what was added to the file.
func (s *session) flush() {
	s.lastFlush = clock.Monotonic()
	s.journalFailed(s.recorder.Flush())
}

// publish flushes and sends at once: for the few records that somebody waits for while nothing is measured.
func (s *session) publish() {
	s.flush()
	s.sendOwedAt = 0
	s.recorder.Send()
}

func (s *session) journalFailed(err error) {
	if err == nil || s.override == exitJournal {
		return
	}
	s.override = exitJournal
	s.say(exitJournal, "write the journal: %v", err)
	s.terminate()
}

// addLines records the lines that came so far.
func (s *session) addLines() {
	if text := s.lines.take(); len(text) > 0 {
		s.add(&pb.Record{Kind: &pb.Record_Lines{Lines: &pb.Lines{Text: text}}})
	}
}

func (s *session) addSample(light bool) {
	s.lastSample = clock.Monotonic()
	if !light {
		s.lastFull = s.lastSample
	}
	s.add(&pb.Record{Kind: &pb.Record_Sample{Sample: s.sampler.Sample(light)}})
}

// killGrace is what the program gets between TERM and KILL.
const killGrace = 2 * time.Second

// terminate asks the program to end and makes sure of it.
func (s *session) terminate() {
	if s.child.PID == 0 || s.kill != nil {
		return
	}
	supervisor.Forward(s.child.PID, syscall.SIGTERM)
	s.kill = time.After(killGrace)
}

// killChild ends the program at once and collects it.
func (s *session) killChild() {
	supervisor.Forward(s.child.PID, syscall.SIGKILL)
	for deadline := time.After(killGrace); ; {
		select {
		case <-s.signals:
			for _, exit := range supervisor.Reap() {
				if exit.PID == s.child.PID {
					return
				}
			}
		case <-deadline:
			return
		}
	}
}

// alive says whether the child has not ended. Nothing is reaped before the loop, so a child that ended is a zombie.
func (s *session) alive() bool {
	state, err := s.root.Text(fmt.Sprintf("proc/%d/status", s.child.PID))
	if err != nil {
		return false
	}
	letter, _ := kernelfs.Field([]byte(state), "State:")
	return len(letter) > 0 && letter[0] != 'Z' && letter[0] != 'X'
}

// pendingStop is a TERM or INT that came before the program was started.
func (s *session) pendingStop() os.Signal {
	for {
		select {
		case sig := <-s.signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				return sig
			}
		default:
			return nil
		}
	}
}

// finish says good-bye: all is sent, and the container stays until the host has read everything back.
func (s *session) finish() {
	s.publish()
	if err := s.recorder.Close(); err != nil {
		s.say(0, "close the journal: %v", err)
	}
	if s.client == nil {
		return
	}
	defer s.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ReleaseTimeout)
	defer cancel()
	s.client.CloseSend(ctx)
	for !s.released {
		select {
		case directive, open := <-s.client.Directives():
			if !open || directive.GetRelease() {
				return
			}
		case sig := <-s.signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				return
			}
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.Canceled) {
				s.say(0, "no release from the collector within %v", s.config.ReleaseTimeout)
			}
			return
		}
	}
}
