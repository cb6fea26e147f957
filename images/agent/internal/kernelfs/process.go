package kernelfs

import (
	"bytes"
	"os"
	"slices"
	"strconv"
)

// statBytes holds any /proc/PID/stat: 52 numbers and a name of at most 64 bytes.
const statBytes = 1024

// Stat is the part of /proc/PID/stat that the agent uses.
type Stat struct {
	Parent      int
	MajorFaults int64
	UserTicks   int64
	SystemTicks int64
	Threads     int
	StartTicks  int64
}

// ParseStat reads /proc/PID/stat. The name in brackets may hold blanks and brackets, so fields count from the last one.
func ParseStat(text []byte) (Stat, bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return Stat{}, false
	}
	var fields [22]int64 // fields[i] is field i+1 of proc(5); the state (3) is no number
	rest, index := text[end+1:], 2
	for index < len(fields) && len(rest) > 0 {
		rest = bytes.TrimLeft(rest, " ")
		word := rest
		if blank := bytes.IndexByte(rest, ' '); blank >= 0 {
			word, rest = rest[:blank], rest[blank:]
		} else {
			rest = nil
		}
		fields[index], _ = Number(word)
		index++
	}
	if index < len(fields) {
		return Stat{}, false
	}
	return Stat{Parent: int(fields[3]), MajorFaults: fields[11], UserTicks: fields[13], SystemTicks: fields[14],
		Threads: int(fields[19]), StartTicks: fields[21]}, true
}

// Descendants are the sorted process numbers below ancestor. Inside a container that is everything but
// PID 1, since orphans become its children, and not what `docker exec` starts, whose parent is 0.
func (r Root) Descendants(ancestor int) ([]int, error) {
	all, err := r.Numbers("proc")
	if err != nil {
		return nil, err
	}
	parent := make(map[int]int, len(all))
	var buffer [statBytes]byte
	for _, pid := range all {
		file, err := r.Open("proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue // ended since it was listed
		}
		if text, err := file.Read(buffer[:]); err == nil {
			if stat, ok := ParseStat(text); ok {
				parent[pid] = stat.Parent
			}
		}
		file.Close()
	}
	var below []int
	for _, pid := range all {
		for p, steps := parent[pid], 0; p != 0 && steps <= len(all); p, steps = parent[p], steps+1 {
			if p == ancestor {
				below = append(below, pid)
				break
			}
		}
	}
	return below, nil
}

// Threads are the sorted thread numbers of a process; process may be "self".
func (r Root) Threads(process string) ([]int, error) { return r.Numbers("proc/" + process + "/task") }

// Numbers are the sorted entries of a folder that are decimal numbers.
func (r Root) Numbers(folder string) ([]int, error) {
	dir, err := os.Open(r.Path(folder))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
