package readback

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

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

// apparmor is the profile that confines the program, "none" where there is none. The host judges it: only the engine
// knows whether it has a profile to give.
func (r *Reader) apparmor() (string, error) {
	process := "self"
	if r.ChildPID != 0 {
		process = strconv.Itoa(r.ChildPID)
	}
	folder := "proc/" + process + "/attr/"
	text, err := r.Root.Text(folder + "apparmor/current")
	if unknown(err) {
		// Before Linux 5.8 there is one file for all security modules: it is AppArmor's only where that is on.
		on, off := r.Root.Text("sys/module/apparmor/parameters/enabled")
		if off != nil || on != "Y" {
			return "none", nil
		}
		text, err = r.Root.Text(folder + "current")
	}
	if unknown(err) {
		return "none", nil
	}
	return profile(text), err
}

// unknown says that no security module answers.
func unknown(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) }

// profile is the name alone where it is enforced; a profile that only complains confines nothing.
func profile(text string) string {
	text = strings.Trim(text, "\x00\n ")
	if text == "" || text == "unconfined" || strings.HasSuffix(text, " (unconfined)") {
		return "none"
	}
	return strings.TrimSuffix(text, " (enforce)")
}
