package readback

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"sealbench.org/agent/internal/kernelfs"
)

// initial are the numbers of the machine's own namespaces: fixed in the kernel (include/linux/proc_ns.h; network and
// mount since 6.18), below every number that it gives away later.
var initial = map[string]string{
	"ipc": "4026531839", "uts": "4026531838", "pid": "4026531836", "cgroup": "4026531835", "net": "4026531833", "mnt": "4026531832",
}

// private are the namespaces that a container must have for itself. The user namespace is the engine's business (a
// rootless one has its own); version 1 leaves containers in the machine's cgroup namespace.
func (r *Reader) private() []string {
	kinds := []string{"ipc", "mnt", "net", "pid", "uts"}
	if r.Group.Version() == "v2" {
		kinds = append([]string{"cgroup"}, kinds...)
	}
	return kinds
}

// namespaces is "private", or the machine's own that the container is in. From inside only those are known: the host
// compares namespaces.ids with its own and with those of the other container.
func (r *Reader) namespaces() (string, error) {
	var shared []string
	for _, kind := range r.private() {
		number, err := r.namespace(kind)
		if err != nil {
			return "", err
		}
		if number == initial[kind] {
			shared = append(shared, kind+"=host")
		}
	}
	if len(shared) > 0 {
		return strings.Join(shared, ","), nil
	}
	return "private", nil
}

// namespaceIDs are inode numbers.
func (r *Reader) namespaceIDs() (string, error) {
	var parts []string
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		number, err := r.namespace(kind)
		if err != nil {
			return "", err
		}
		parts = append(parts, kind+"="+number)
	}
	return strings.Join(parts, ","), nil
}

func (r *Reader) namespace(kind string) (string, error) {
	link, err := os.Readlink(r.Root.Path("proc/self/ns/" + kind))
	if err != nil {
		return "", err
	}
	_, number, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
	return number, nil
}

// init is "false" when the agent is the first process of its namespace: an engine's own init would stand before it.
func (r *Reader) init() (string, error) {
	status, err := r.Root.Text("proc/self/status")
	if err != nil {
		return "", err
	}
	numbers, ok := kernelfs.Field([]byte(status), "NSpid:")
	if !ok {
		return "", fmt.Errorf("status has no NSpid: %w", fs.ErrNotExist)
	}
	fields := strings.Fields(string(numbers))
	return strconv.FormatBool(len(fields) == 0 || fields[len(fields)-1] != "1"), nil
}
