package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync"
	"unicode/utf8"

	"sealbench.org/stub/internal/mono"
)

// format is how one wire format writes what all of them say. A format holds no state.
type format interface {
	streamType() string
	// begin appends what comes at once, before the first token is due.
	begin(to []byte, a *ask) []byte
	// keepAlive appends one sign of life that is no output.
	keepAlive(to []byte) []byte
	token(to []byte, a *ask, i int, ns int64) []byte
	// end appends what follows the last token.
	end(to []byte, a *ask, ns int64) []byte
	// whole appends an answer that was not asked for as a stream.
	whole(to []byte, a *ask, ns int64) []byte
	// failure is the body of an error, to be written as JSON.
	failure(status int, text string) any
}

const (
	keptBytes = 1 << 20 // a larger buffer is not kept for the next answer

	// halfNS lies between the two halves of a frame that is split, so that they reach the client one after the other.
	halfNS = 1_000_000
)

// scratch is reused between answers, so that the backend's own garbage collector stays quiet.
type scratch struct {
	buf    []byte
	delays []int64
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

func borrow() *scratch {
	own := scratches.Get().(*scratch)
	own.delays = own.delays[:0]
	return own
}

func (own *scratch) giveBack() {
	if cap(own.buf) > keptBytes {
		own.buf = nil
	}
	scratches.Put(own)
}

// answering is one answer on its way.
type answering struct {
	*scratch
	w      http.ResponseWriter
	out    *http.ResponseController
	gone   <-chan struct{} // closed when the client has gone
	timer  *mono.Timer
	ask    *ask
	format format
}

// chat answers in the way that was asked for, at the moments the settings give.
func (s *stub) chat(w http.ResponseWriter, r *http.Request, a *ask, f format) {
	s.control.note(a)
	if s.unlucky(a) {
		refuse(w, f, &refusal{http.StatusServiceUnavailable, "overloaded, as asked for"})
		return
	}
	timer := s.timer()
	defer s.timers.Put(timer)
	own := borrow()
	defer own.giveBack()
	do := &answering{own, w, http.NewResponseController(w), r.Context().Done(), timer, a, f}
	if a.stream {
		s.stream(do)
	} else {
		s.whole(do)
	}
	s.report.add(own.delays)
}

// stream writes one frame per token, each flushed by itself, at its due time or at once.
func (s *stub) stream(do *answering) {
	header := do.w.Header()
	header.Set("Content-Type", do.format.streamType())
	header.Set("Cache-Control", "no-cache")
	do.buf = do.format.begin(do.buf[:0], do.ask)
	for range do.ask.play.comments {
		do.buf = do.format.keepAlive(do.buf)
	}
	if len(do.buf) > 0 && !do.send(do.buf) {
		return
	}
	for i := 0; do.ask.play.endless || i < do.ask.play.tokens; i++ {
		if !s.frame(do, i) {
			return
		}
	}
	do.buf = do.format.end(do.buf[:0], do.ask, mono.Now())
	do.send(do.buf)
}

// frame writes token i when it is due; false: the answer is over.
func (s *stub) frame(do *answering, i int) bool {
	a := do.ask
	due := s.due(a, i)
	do.wait(due)
	switch i {
	case a.play.stall:
		<-do.gone
		return false
	case a.play.truncate:
		return false // a clean end of the body: no finish reason, no last event
	case a.play.reset:
		reset(do.w)
		return false
	}
	// The stamp is the last thing before the write.
	written := mono.Now()
	if i == 0 {
		a.begun = written
	}
	if a.paced && !a.play.endless {
		do.delays = append(do.delays, written-due)
	}
	do.buf = do.format.token(do.buf[:0], a, i, written)
	if i == a.play.corrupt {
		do.buf = corrupted(do.buf)
	}
	if a.play.chinese {
		return do.sendHalves(do.buf)
	}
	return do.send(do.buf)
}

// whole answers without a stream, when the last token would be due.
func (s *stub) whole(do *answering) {
	a := do.ask
	if a.play.endless || a.play.stall != never {
		<-do.gone
		return
	}
	due := s.due(a, a.play.tokens-1)
	do.wait(due)
	written := mono.Now()
	a.begun = written
	if a.paced {
		do.delays = append(do.delays, written-due)
	}
	do.buf = do.format.whole(do.buf[:0], a, written)
	body(do.w, do.buf, &a.play)
}

// due is when frame i is to be written.
func (s *stub) due(a *ask, i int) int64 {
	if a.play.endless {
		return a.arrival + int64(i)*endlessNS
	}
	return a.arrival + nanoseconds(s.config.FirstTokenSeconds) + int64(i)*nanoseconds(s.config.TokenSeconds)
}

func (do *answering) wait(due int64) {
	if do.ask.paced && do.timer.WaitUntil(due) != nil {
		panic(http.ErrAbortHandler)
	}
}

// send writes and flushes; false: the client has gone.
func (do *answering) send(piece []byte) bool {
	if _, err := do.w.Write(piece); err != nil {
		return false
	}
	return do.out.Flush() == nil
}

// sendHalves writes a frame in two pieces that meet in the middle of a character.
func (do *answering) sendHalves(piece []byte) bool {
	split := bytes.IndexFunc(piece, func(c rune) bool { return c >= utf8.RuneSelf }) + 1
	if split == 0 {
		return do.send(piece)
	}
	return do.send(piece[:split]) && do.timer.WaitUntil(mono.Now()+halfNS) == nil && do.send(piece[split:])
}

// corrupted leaves the first quarter of a frame's JSON, which in no format reaches the end of its text, and the framing.
func corrupted(frame []byte) []byte {
	text := bytes.TrimRight(frame, "\r\n")
	ending := string(frame[len(text):])
	from := max(bytes.IndexByte(text, '{'), 0)
	return append(text[:from+(len(text)-from)/4], ending...)
}

// body writes a whole JSON answer, or what the script makes of it.
func body(w http.ResponseWriter, text []byte, play *script) {
	if play.reset != never {
		reset(w)
		return
	}
	if play.corrupt != never {
		text = append(text[:len(text)/2], `}}}`...)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if play.truncate != never {
		// Fewer bytes than announced: net/http closes the connection, the client sees an early end.
		text = text[:len(text)/2]
	}
	_, _ = w.Write(text)
}

// reset ends the connection with a TCP reset; under HTTP/2, the stream with RST_STREAM.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secure, ok := connection.(*tls.Conn); ok {
		connection = secure.NetConn() // closed below TLS, so that no farewell goes out first
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
