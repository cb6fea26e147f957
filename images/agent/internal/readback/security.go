package readback

import (
	"fmt"
	"io/fs"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

// status is of the process whose attributes count: the child, or before it starts the agent, which it inherits from.
func (r *Reader) status() ([]byte, error) {
	if r.seen.status != nil {
		return r.seen.status, nil
	}
	var text string
	var err error
	if r.ChildPID != 0 {
		text, err = r.childText(r.ChildPID, "status")
	} else {
		text, err = r.Root.Text("proc/self/status")
	}
	if err == nil {
		r.seen.status = []byte(text)
	}
	return r.seen.status, err
}

func (r *Reader) statusField(key string) (string, error) {
	status, err := r.status()
	if err != nil {
		return "", err
	}
	value, ok := kernelfs.Field(status, key)
	if !ok {
		return "", fmt.Errorf("status has no %s %w", key, fs.ErrNotExist)
	}
	return string(value), nil
}

// capabilities are all five sets: one that is empty says nothing about the others.
func (r *Reader) capabilities() (string, error) {
	status, err := r.status()
	if err != nil {
		return "", err
	}
	var sets []string
	some := false
	for _, set := range []struct{ name, key string }{
		{"inh", "CapInh:"}, {"prm", "CapPrm:"}, {"eff", "CapEff:"}, {"bnd", "CapBnd:"}, {"amb", "CapAmb:"},
	} {
		value, ok := kernelfs.Field(status, set.key)
		if !ok {
			return "", fmt.Errorf("status has no %s", set.key)
		}
		some = some || strings.Trim(string(value), "0") != ""
		sets = append(sets, set.name+"="+string(value))
	}
	if !some {
		return "none", nil
	}
	return strings.Join(sets, ","), nil
}

// user is uid:gid and the supplementary groups. Engines since 20.10.18 put the primary group among those
// (CVE-2022-36109), older ones do not; it adds no right, so it is left out.
func (r *Reader) user() (string, error) {
	status, err := r.status()
	if err != nil {
		return "", err
	}
	uid, okUID := kernelfs.Field(status, "Uid:")
	gid, okGID := kernelfs.Field(status, "Gid:")
	groups, okGroups := kernelfs.Field(status, "Groups:")
	if !okUID || !okGID || !okGroups {
		return "", fmt.Errorf("status has no Uid, Gid or Groups")
	}
	primary := identity(string(gid))
	value := identity(string(uid)) + ":" + primary
	for _, group := range strings.Fields(string(groups)) {
		if group != primary {
			value += "+" + group
		}
	}
	return value, nil
}

// identity is one number where real, effective, saved and file system id agree, else all four.
func identity(four string) string {
	ids := strings.Fields(four)
	for _, id := range ids {
		if id != ids[0] {
			return strings.Join(ids, "/")
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}
