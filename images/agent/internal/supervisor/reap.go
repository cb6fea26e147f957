package supervisor

import (
	"os"
	"os/signal"
	"syscall"
)

// signalBase is what shells add to a signal's number.
const signalBase = 128

// Exit is how a process ended.
type Exit struct {
	PID    int
	Code   int // 128 + Signal when killed
	Signal int // 0: ended by itself
}

// Reap collects every child that has ended. As PID 1 the agent is also the parent of orphans.
func Reap() []Exit {
	var exits []Exit
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return exits
		}
		switch {
		case status.Signaled():
			exits = append(exits, Exit{PID: pid, Code: signalBase + int(status.Signal()), Signal: int(status.Signal())})
		case status.Exited():
			exits = append(exits, Exit{PID: pid, Code: status.ExitStatus()})
		}
	}
}

// Forwarded are the signals that the program gets as if it were PID 1 itself.
var forwarded = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}

// queuedSignals is far more than can pile up while the loop is busy; a lost SIGCHLD would be a zombie.
const queuedSignals = 64

// Signals delivers SIGCHLD and the signals to pass on.
func Signals() <-chan os.Signal {
	signals := make(chan os.Signal, queuedSignals)
	signal.Notify(signals, append(forwarded, syscall.SIGCHLD)...)
	return signals
}

// Forward passes a signal on; a child that just ended needs none.
func Forward(pid int, sig os.Signal) {
	if number, ok := sig.(syscall.Signal); ok && pid > 0 {
		_ = syscall.Kill(pid, number)
	}
}

// ExitCode is the code of a process that a signal ends.
func ExitCode(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return signalBase + int(number)
	}
	return signalBase
}
