package readback

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sealbench.org/agent/internal/cgroup"
	"sealbench.org/agent/internal/kernelfs"
	"sealbench.org/agent/internal/pb"
)

// The fixtures' process numbers are above the largest pid_max, so that no real process has them.
const (
	agentPID = 5000001
	childPID = 5000007
)

// expected are the canonical strings of both fixture trees.
var expected = map[string]string{
	"container.cpuset": "0-1", "container.mems": "0", "workload.affinity": "0", "agent.affinity": "1", "mems.allowed": "0",
	"memory.policy": "bind:0", "cpu.quota": "none", "memory.limit_bytes": "134217728", "memory.swap_bytes": "0",
	"memory.swappiness": "0", "pids.limit": "128", "capabilities": "none", "no_new_privileges": "1", "seccomp.mode": "2",
	"user": "65534:65534", "rootfs.readonly": "ro", "sys.readonly": "ro", "proc_sys.readonly": "ro", "network": "loopback-only",
	"resolv_conf": "empty", "mounts.writable": "/repro/out/journal.pb,/tmp", "environment": "HOME,REPRO_AGENT",
	"ulimit.core": "0:0", "ulimit.nofile": "65536:65536",
	"namespaces": "ipc=4026531811,mnt=4026531812,net=4026531813,pid=4026531814,user=4026531815,uts=4026531816",
}

// fixture is a reader on a copy of a fixture tree that a test may change.
func fixture(t *testing.T, version string) *Reader {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/"+version)); err != nil {
		t.Fatal(err)
	}
	group, err := cgroup.Find(kernelfs.Root(root))
	if err != nil {
		t.Fatal(err)
	}
	if group.Version() != version {
		t.Fatalf("found %s in the tree of %s", group.Version(), version)
	}
	return &Reader{Root: kernelfs.Root(root), Group: group, AgentPID: agentPID, ChildPID: childPID,
		Environment: []string{"REPRO_AGENT={}", "HOME=/tmp"}, Expect: expected}
}

func change(t *testing.T, r *Reader, name, text string) {
	t.Helper()
	path := r.Root.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func found(t *testing.T, rows []*pb.Row, id string) *pb.Row {
	t.Helper()
	for _, row := range rows {
		if row.Id == id {
			return row
		}
	}
	t.Fatalf("no row %s", id)
	return nil
}

func TestEveryRowHoldsInBothVersions(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		rows := fixture(t, version).Read(All)
		if len(rows) != len(IDs()) {
			t.Errorf("%s: %d rows of %d", version, len(rows), len(IDs()))
		}
		for _, row := range rows {
			if row.Id == "memory.swappiness" && version == "v2" {
				if !row.Absent {
					t.Errorf("v2 has no swappiness, found %v", row)
				}
				continue
			}
			if row.Found != expected[row.Id] || row.Error != "" || row.Absent {
				t.Errorf("%s: %v, want %q", version, row, expected[row.Id])
			}
		}
		if broken := Broken(rows); broken != nil {
			t.Errorf("%s: broken %v", version, broken)
		}
	}
}

func TestScopesSplitTheRows(t *testing.T) {
	r := fixture(t, "v2")
	own, child := r.Read(Own), r.Read(Child)
	has := func(rows []*pb.Row, id string) bool {
		return slices.ContainsFunc(rows, func(row *pb.Row) bool { return row.Id == id })
	}
	if has(own, "workload.affinity") || !has(child, "workload.affinity") || has(child, "pids.limit") || !has(child, "capabilities") {
		t.Errorf("own %v\nchild %v", own, child)
	}
	r.ChildPID = 0
	if has(r.Read(All), "memory.policy") {
		t.Error("rows of a child that does not run")
	}
}

// A change to one file of the tree makes exactly one row broken, with this value.
func TestBrokenRowsAreNamed(t *testing.T) {
	child, thread := "proc/5000007/", "proc/5000007/task/5000008/status"
	for _, c := range []struct{ version, file, text, id, found string }{
		{"v1", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n", "cpu.quota", "50000/100000"},
		{"v2", "sys/fs/cgroup/cpu.max", "50000 100000\n", "cpu.quota", "50000/100000"},
		{"v1", "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "268435456\n", "memory.swap_bytes", "134217728"},
		{"v1", "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "9223372036854771712\n", "memory.swap_bytes", "max"},
		{"v2", "sys/fs/cgroup/memory.swap.max", "max\n", "memory.swap_bytes", "max"},
		{"v2", "sys/fs/cgroup/memory.max", "max\n", "memory.limit_bytes", "max"},
		{"v1", "sys/fs/cgroup/memory/memory.swappiness", "60\n", "memory.swappiness", "60"},
		{"v2", "sys/fs/cgroup/cpuset.cpus.effective", "0-3\n", "container.cpuset", "0-3"},
		{"v1", "sys/fs/cgroup/pids/pids.max", "max\n", "pids.limit", "max"},
		{"v2", thread, "Cpus_allowed_list:\t0-1\n", "workload.affinity", "0 (thread 5000008: 0-1)"},
		{"v2", child + "numa_maps", "1 bind:0 anon=1\n2 default\n3 bind:0\n", "memory.policy", "bind:0,default"},
		{"v2", "etc/resolv.conf", "nameserver 192.0.2.1\n", "resolv_conf", "21 bytes"},
		{"v2", "proc/net/route", "Iface\tDestination\nlo\t0\neth0\t0\n", "network", "lo,routes"},
		{"v2", "proc/net/ipv6_route", "0 0 0 0 0 0 0 0 0 eth0\n", "network", "lo,routes"},
		{"v2", "proc/net/dev", "x\ny\n lo: 0\n eth0: 0\n", "network", "eth0,lo"},
		{"v2", "proc/self/limits", "Max core file size  0 unlimited bytes\nMax open files 65536 65536 files\n", "ulimit.core", "0:unlimited"},
	} {
		r := fixture(t, c.version)
		change(t, r, c.file, c.text)
		broken := Broken(r.Read(All))
		if len(broken) != 1 || broken[0].Id != c.id || broken[0].Found != c.found {
			t.Errorf("%s %s: broken %v, want %s = %q", c.version, c.file, broken, c.id, c.found)
		}
	}
}

func TestSecurityRowsAreTheChilds(t *testing.T) {
	r := fixture(t, "v1")
	change(t, r, "proc/5000007/status", `Uid:	0	0	0	0
Gid:	65534	65534	65534	65534
Groups:	7 65534
CapInh:	0000000000000000
CapPrm:	0000000000000001
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	0
Seccomp:	0
Mems_allowed_list:	0-1
`)
	rows := r.Read(All)
	for id, want := range map[string]string{"user": "0:65534+7", "no_new_privileges": "0", "seccomp.mode": "0", "mems.allowed": "0-1",
		"capabilities": "inh=0000000000000000,prm=0000000000000001,eff=0000000000000000,bnd=0000000000000000,amb=0000000000000000"} {
		if row := found(t, rows, id); row.Found != want {
			t.Errorf("%v, want %q", row, want)
		}
	}
}

func TestWritableMountsAndMissingOnes(t *testing.T) {
	r := fixture(t, "v2")
	change(t, r, "proc/self/mountinfo", "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n3 1 0:3 / /a\\040b rw shared:1 - tmpfs x rw\n"+
		"4 1 0:3 / /sys ro - sysfs x rw\n5 4 0:4 / /sys/fs/cgroup rw - cgroup2 x rw\n")
	rows := r.Read(All)
	for id, want := range map[string]string{"rootfs.readonly": "rw", "sys.readonly": "ro", "proc_sys.readonly": "rw", "mounts.writable": "/,/a b"} {
		if row := found(t, rows, id); row.Found != want {
			t.Errorf("%v, want %q", row, want)
		}
	}
}

func TestAMissingKernelFileIsAbsentAndAnUnreadableOneIsBroken(t *testing.T) {
	r := fixture(t, "v1")
	if err := os.Remove(r.Root.Path("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")); err != nil {
		t.Fatal(err)
	}
	limits := r.Root.Path("proc/self/limits")
	if err := os.Remove(limits); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(limits, 0o755); err != nil { // reading a folder fails
		t.Fatal(err)
	}
	rows := r.Read(All)
	if row := found(t, rows, "memory.swap_bytes"); !row.Absent {
		t.Errorf("%v should be absent", row)
	}
	broken := Broken(rows)
	if len(broken) != 2 || broken[0].Id != "ulimit.core" || broken[0].Error == "" {
		t.Errorf("broken %v", broken)
	}
}

func TestNamespacesAreNeverBroken(t *testing.T) {
	r := fixture(t, "v2")
	r.Expect = map[string]string{"namespaces": "private"}
	if broken := Broken(r.Read(All)); broken != nil {
		t.Errorf("broken %v", broken)
	}
}
