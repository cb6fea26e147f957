package cgroup

import "sealbench.org/agent/internal/kernelfs"

const microsecondNs = 1000

// Counters are one reading. A counter whose file does not exist stays 0.
type Counters struct {
	MemoryBytes      int64
	SwapBytes        int64
	CPUNs            int64
	ThrottledPeriods int64
	ThrottledNs      int64
	Pids             int64
	PidsKnown        bool
}

// Usage holds the counters' files open.
type Usage struct {
	v1                            bool
	memory, swap, cpu, stat, pids *kernelfs.Kept // nil: no such file
	buffer                        [2048]byte
}

// Read reads all counters.
func (u *Usage) Read() Counters {
	var c Counters
	c.MemoryBytes, _ = u.number(u.memory)
	c.SwapBytes, _ = u.number(u.swap)
	c.Pids, c.PidsKnown = u.number(u.pids)
	stat := u.text(u.stat)
	c.ThrottledPeriods, _ = kernelfs.FieldNumber(stat, "nr_throttled ")
	if !u.v1 {
		usec, _ := kernelfs.FieldNumber(stat, "usage_usec ")
		throttled, _ := kernelfs.FieldNumber(stat, "throttled_usec ")
		c.CPUNs, c.ThrottledNs = usec*microsecondNs, throttled*microsecondNs
		return c
	}
	c.ThrottledNs, _ = kernelfs.FieldNumber(stat, "throttled_time ")
	c.CPUNs, _ = u.number(u.cpu)
	// Version 1 counts memory and swap together; the two files are read one after the other and may disagree a little.
	if u.swap != nil {
		c.SwapBytes = max(0, c.SwapBytes-c.MemoryBytes)
	}
	return c
}

func (u *Usage) text(file *kernelfs.Kept) []byte {
	if file == nil {
		return nil
	}
	text, err := file.Read(u.buffer[:])
	if err != nil {
		return nil
	}
	return text
}

func (u *Usage) number(file *kernelfs.Kept) (int64, bool) { return kernelfs.Number(u.text(file)) }

func openKept(root kernelfs.Root, folder, name string) *kernelfs.Kept {
	if folder == "" {
		return nil
	}
	file, err := root.Open(folder + "/" + name)
	if err != nil {
		return nil
	}
	return file
}
