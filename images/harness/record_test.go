package harness

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func testSession(t *testing.T, w *Workload, f Adapter) (*session, func() []map[string]any) {
	t.Helper()
	fd, read := recordFile(t)
	s, err := newSession(w, f, Identity{"fake", "example.org/fake", "v0.0.0"}, fd)
	if err != nil {
		t.Fatal(err)
	}
	return s, read
}

func TestARequestAllocatesNothingOfOurs(t *testing.T) {
	token := stampToken(1)
	s, _ := testSession(t, chatWorkload("x"), fake{})
	s.target = func(_ context.Context, _ int64, a *Answer) error {
		for range 128 {
			a.Text(token)
		}
		a.Finish("length")
		return nil
	}
	c := s.work.newCall()
	spare := newBatch(cap(s.rec.fill.rows), 128)
	n := 0
	allocations := testing.AllocsPerRun(1000, func() {
		s.request(c, ticket{seq: int64(n)})
		if n++; n%cap(spare.rows) == 0 {
			spare, _ = s.rec.swap(spare)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations per request", allocations)
	}
}

func TestHandOverAllocatesNothing(t *testing.T) {
	done := make(chan struct{})
	p := newPool(chatWorkload("x").newCall, func(*call, ticket) { done <- struct{}{} })
	defer close(p.work)
	if n := testing.AllocsPerRun(1000, func() { p.send(ticket{}); <-done }); n >= 1 {
		t.Errorf("%v allocations per send", n)
	}
}

func TestWritingRowsAndSnapshotsAllocatesNothing(t *testing.T) {
	s, _ := testSession(t, chatWorkload("x"), fake{})
	b := newBatch(100, 128)
	for i := range 100 {
		from := len(b.overheads)
		for range 128 {
			b.overheads = append(b.overheads, int64(i)*12345)
		}
		b.rows = append(b.rows, row{seq: int64(i), from: from, to: len(b.overheads)})
	}
	s.sink.batch(b)
	if n := testing.AllocsPerRun(10, func() { s.sink.batch(b) }); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
	s.lines.stats.read(0)
	if n := testing.AllocsPerRun(100, func() { s.lines.stats.read(0) }); n != 0 {
		t.Errorf("%v allocations per snapshot", n)
	}
}

func TestLinesStayBelow64KiB(t *testing.T) {
	for _, frames := range []int{0, 1, 128, 3000, maxOverheads} {
		b := newBatch(50, frames)
		for i := range 50 {
			from := len(b.overheads)
			for range frames {
				b.overheads = append(b.overheads, math.MaxInt64)
			}
			b.rows = append(b.rows, row{math.MaxInt64, math.MaxInt64, 1, 1, 1, math.MaxInt64, math.MaxInt64, from, len(b.overheads), Other})
			_ = i
		}
		written := 0
		for rows := b.rows; len(rows) > 0; {
			line, n := appendRows(nil, rows, b.overheads, 0)
			if len(line) > maxLine || n < 1 {
				t.Fatalf("%d frames: a line of %d bytes with %d rows", frames, len(line), n)
			}
			rows, written = rows[n:], written+n
		}
		if written != 50 {
			t.Errorf("%d frames: %d of 50 rows", frames, written)
		}
	}
}

func TestARowSaysWhatHappened(t *testing.T) {
	rows := []row{{seq: 7, sched: 1100, sent: 1200, first: 1300, end: 1400, tokens: 2, bytes: 40, to: 2, outcome: WrongAnswer}, {seq: 8, sched: 1500, sent: 1500, end: 1600, outcome: Transport, from: 2, to: 2}}
	line, n := appendRows(nil, rows, []int64{50, 60}, 1000)
	want := `{"k":"req","rows":[[7,100,200,300,400,5,2,40,[50,60]],[8,500,500,0,600,1,0,0,[]]]}` + "\n"
	if string(line) != want || n != 2 {
		t.Errorf("got  %swant %s", line, want)
	}
}

func TestOnlyTheFirstErrorsKeepTheirText(t *testing.T) {
	r := newRecorder(1, 1)
	for i := range 50 {
		r.fail(int64(i), Transport, 0, strings.Repeat("ä", 1000))
		r.fail(int64(i), JSONParse, 0, "x")
	}
	_, failures := r.swap(newBatch(1, 1))
	if len(failures) != 2*errorsPerOutcome {
		t.Errorf("%d texts kept", len(failures))
	}
	if got := []rune(failures[0].Text); len(got) != errorTextChars {
		t.Errorf("a text of %d characters", len(got))
	}
}

func TestABrokenDescriptorIsReportedAndNotFatal(t *testing.T) {
	if _, err := openSink("99999", 0); err == nil {
		t.Error("a closed descriptor was taken")
	}
	if _, err := openSink("three", 0); err == nil {
		t.Error("a word was taken")
	}
	s, err := openSink("", 0)
	if err != nil {
		t.Fatal(err)
	}
	s.phase("warmup", 1) // nobody reads: nothing happens
	fd, _ := recordFile(t)
	if s, err = openSink(fd, 0); err != nil {
		t.Fatal(err)
	}
	_ = s.file.Close()
	s.phase("warmup", 1)
	s.phase("measure", 1)
	if s.failure() == nil || !strings.Contains(s.failure().Error(), "records") {
		t.Errorf("failure %v", s.failure())
	}
}

func TestTicksAreAlignedToT0(t *testing.T) {
	const second = int64(time.Second)
	for _, c := range [][3]int64{{10, 3, 10 - 6}, {10, 10, 12}, {10, 11, 12}, {10, 9, 10}, {10, 8, 10}, {10, 12, 14}} {
		if got := after(c[0]*second, 2*second, c[1]*second); got != c[2]*second {
			t.Errorf("after(t0 %d, step 2, now %d) = %d, want %d", c[0], c[1], got/second, c[2])
		}
	}
}

var errTired = errors.New("the model is tired")
