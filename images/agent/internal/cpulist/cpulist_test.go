package cpulist

import (
	"slices"
	"testing"
)

func TestParseAndFormatAgreeWithTheKernel(t *testing.T) {
	for text, want := range map[string][]int{
		"0": {0}, "0-3": {0, 1, 2, 3}, "0-1,8": {0, 1, 8}, "5,1,3-4": {1, 3, 4, 5}, "1,1": {1}, "1023": {1023},
	} {
		got, err := Parse(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"5,1,3-4": "1,3-5", "0,1": "0-1", "7": "7"} {
		cpus, _ := Parse(text)
		if got := Format(cpus); got != want {
			t.Errorf("Format(%v) = %q, want %q", cpus, got, want)
		}
	}
}

func TestMalformedListsAreRefused(t *testing.T) {
	for _, text := range []string{"", ",", "a", "-1", "1-", "3-1", "+1", "1024", "0x1", " 1", "1-2-3"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, got)
		}
	}
}
