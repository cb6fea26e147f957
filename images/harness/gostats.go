package harness

import (
	"math"
	"runtime/metrics"
	"strconv"
)

// The runtime metrics of a "go" record, in the record's order. They come from runtime/metrics, which does not stop the
// world; ReadMemStats does, for up to milliseconds on a large heap.
var goMetrics = [...]struct {
	key  string
	name string
}{
	{"goroutines", "/sched/goroutines:goroutines"},
	{"gomaxprocs", "/sched/gomaxprocs:threads"},
	{"heap_live_bytes", "/gc/heap/live:bytes"},
	{"heap_goal_bytes", "/gc/heap/goal:bytes"},
	{"alloc_bytes", "/gc/heap/allocs:bytes"},
	{"alloc_objects", "/gc/heap/allocs:objects"},
	{"gc_cycles", "/gc/cycles/total:gc-cycles"},
	{"gc_cpu_seconds", "/cpu/classes/gc/total:cpu-seconds"},
	{"total_bytes", "/memory/classes/total:bytes"},
	{"pause", "/sched/pauses/total/gc:seconds"},
	{"stop_other", "/sched/pauses/total/other:seconds"},
}

// Objects under 16 bytes without pointers share a block and are counted apart; -benchmem adds them, so we do.
const tinyAllocs = "/gc/heap/tiny/allocs:objects"

// goStats reads the runtime's metrics into memory that it keeps.
type goStats struct {
	samples []metrics.Sample
	line    []byte
}

func newGoStats() *goStats {
	g := &goStats{line: make([]byte, 0, 4096)}
	for _, m := range goMetrics {
		g.samples = append(g.samples, metrics.Sample{Name: m.name})
	}
	g.samples = append(g.samples, metrics.Sample{Name: tinyAllocs})
	return g
}

// read takes a snapshot and formats it as a record line.
func (g *goStats) read(ns int64) []byte {
	metrics.Read(g.samples)
	tiny := g.samples[len(goMetrics)].Value.Uint64()
	line := append(g.line[:0], `{"k":"go","ns":`...)
	line = strconv.AppendInt(line, ns, 10)
	for i, m := range goMetrics {
		line = append(line, `,"`...)
		line = append(line, m.key...)
		line = append(line, `":`...)
		switch value := g.samples[i].Value; value.Kind() {
		case metrics.KindUint64:
			n := value.Uint64()
			if m.key == "alloc_objects" {
				n += tiny
			}
			line = strconv.AppendUint(line, n, 10)
		case metrics.KindFloat64:
			line = strconv.AppendFloat(line, value.Float64(), 'g', -1, 64)
		case metrics.KindFloat64Histogram:
			line = appendHistogram(line, value.Float64Histogram())
		default:
			line = append(line, "null"...) // a Go version without this metric
		}
	}
	g.line = append(line, "}\n"...)
	return g.line
}

// appendHistogram writes [upper edge in seconds, events in that bucket since the process began] for buckets with any.
func appendHistogram(line []byte, h *metrics.Float64Histogram) []byte {
	line = append(line, '[')
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		edge := h.Buckets[i+1]
		if math.IsInf(edge, 1) {
			edge = h.Buckets[i] // JSON has no infinity; the last bucket is named by its lower edge
		}
		if line[len(line)-1] != '[' {
			line = append(line, ',')
		}
		line = append(line, '[')
		line = strconv.AppendFloat(line, edge, 'g', -1, 64)
		line = append(line, ',')
		line = strconv.AppendUint(line, n, 10)
		line = append(line, ']')
	}
	return append(line, ']')
}
