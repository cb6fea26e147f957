package readback

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	"resolv_conf": "empty", "mounts.writable": "/repro/out/journal.pb,/tmp", "environment": "GOMAXPROCS,HOME,HOSTNAME,REPRO_AGENT",
	"ulimit.core": "0:0", "ulimit.nofile": "65536:65536", "cpu.weight": "default", "memory.high_bytes": "max", "oom.kill_disable": "false",
	"apparmor": "none", "init": "false", "namespaces": "private", "mounts.binds": "/etc/resolv.conf:ro,/repro/out/journal.pb:rw,/repro/run:ro",
	"tmpfs": "/tmp:67108864", "shm_bytes": "16777216", "devices": "none", "gomaxprocs": "2",
	// printf 'GOMAXPROCS=2\0HOME=/tmp' | sha256sum, and printf '{}' | sha256sum
	"environment.values":   "sha256:e0dd94c8387786684b8edf8b2ef0e828a72e139758ab0fb5e5ad1db47f6bb51b",
	"workload.environment": "sha256:e0dd94c8387786684b8edf8b2ef0e828a72e139758ab0fb5e5ad1db47f6bb51b",
	"agent.settings":       "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
	"namespaces.ids":       "cgroup=4026531817,ipc=4026531811,mnt=4026531812,net=4026531813,pid=4026531814,user=4026531815,uts=4026531816",
	"memory.oom_group":     "0",
}

// lacks are the rows whose file a version does not have.
var lacks = map[string][]string{"v1": {"memory.high_bytes", "memory.oom_group"}, "v2": {"memory.swappiness", "oom.kill_disable"}}

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
		Environment: []string{"REPRO_AGENT={}", "HOME=/tmp", "HOSTNAME=0abc", "GOMAXPROCS=2"}, Expect: expected}
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
			if slices.Contains(lacks[version], row.Id) {
				if !row.Absent {
					t.Errorf("%s has no such file, found %v", version, row)
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
		{"v1", "sys/fs/cgroup/cpu,cpuacct/cpu.shares", "512\n", "cpu.weight", "512"},
		{"v2", "sys/fs/cgroup/cpu.weight", "50\n", "cpu.weight", "50"},
		{"v2", "sys/fs/cgroup/memory.high", "1048576\n", "memory.high_bytes", "1048576"},
		{"v1", "sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 1\nunder_oom 0\n", "oom.kill_disable", "true"},
		{"v1", "sys/fs/cgroup/devices/devices.list", "a *:* rwm\n", "devices", "a *:* rwm"},
		{"v1", "sys/fs/cgroup/devices/devices.list", "c *:* m\nc 1:3 rwm\nc 10:229 rwm\n", "devices", "c 10:229 rwm"},
		{"v2", "proc/self/attr/apparmor/current", "docker-default (enforce)\n", "apparmor", "docker-default"},
		{"v2", "proc/5000007/attr/apparmor/current", "docker-default (complain)\n", "apparmor", "docker-default (complain)"},
		{"v2", child + "environ", "HOME=/tmp\x00GOMAXPROCS=2\x00EXTRA=1\x00REPRO_FD=3\x00", "workload.environment",
			"sha256:0aba1ef4f1193e6d5a0b33c85252af237ffb8ed018fe29fadbf1dc53fb32a3e5"},
		{"v2", "proc/self/limits", "Max core file size  0 unlimited bytes\nMax open files 65536 65536 files\n", "ulimit.core", "0:unlimited"},
	} {
		r := fixture(t, c.version)
		if strings.HasPrefix(c.file, "proc/self/attr/") {
			r.ChildPID = 0 // before the program starts the agent's own profile is the one it will inherit
		}
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

// The machine's own namespaces have fixed numbers; whether others are shared only the host can tell.
func TestANamespaceOfTheMachineIsNamed(t *testing.T) {
	for kind, number := range map[string]string{"ipc": "4026531839", "pid": "4026531836", "uts": "4026531838", "net": "4026531833"} {
		r := fixture(t, "v2")
		link := r.Root.Path("proc/self/ns/" + kind)
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(kind+":["+number+"]", link); err != nil {
			t.Fatal(err)
		}
		if row := found(t, Broken(r.Read(All)), "namespaces"); row.Found != kind+"=host" {
			t.Errorf("%v", row)
		}
	}
}

// Version 1 leaves containers in the machine's cgroup namespace.
func TestTheCgroupNamespaceCountsInVersion2(t *testing.T) {
	for version, want := range map[string]string{"v1": "private", "v2": "cgroup=host"} {
		r := fixture(t, version)
		link := r.Root.Path("proc/self/ns/cgroup")
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("cgroup:[4026531835]", link); err != nil {
			t.Fatal(err)
		}
		if row := found(t, r.Read(Own), "namespaces"); row.Found != want {
			t.Errorf("%s: %v, want %q", version, row, want)
		}
	}
}

func TestAnInitBeforeTheAgentAndNodesBesideTheUsualAreNamed(t *testing.T) {
	r := fixture(t, "v2")
	change(t, r, "proc/self/status", "NSpid:\t5000001\t7\n")
	change(t, r, "dev/bus/usb/placeholder", "")
	if err := syscall.Mkfifo(r.Root.Path("dev/bus/usb/001"), 0o600); err != nil { // a device node takes root
		t.Fatal(err)
	}
	if row := found(t, r.Read(Own), "init"); row.Found != "true" {
		t.Errorf("%v", row)
	}
	if row := found(t, r.Read(Own), "devices"); row.Found != "/dev/bus/usb/001" {
		t.Errorf("%v", row)
	}
}

func TestMountsThatWereAskedForAreToldFromTheEnginesOwn(t *testing.T) {
	r := fixture(t, "v2")
	text, err := r.Root.Text("proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	change(t, r, "proc/self/mountinfo", text+"\n140 100 254:0 /v/_data /data rw - ext4 /dev/vda rw\n141 100 0:70 / /scratch rw - tmpfs tmpfs rw\n"+
		"142 100 254:0 /z /repro/run rw - ext4 /dev/vda rw\n143 103 0:71 / /dev/shm rw - tmpfs shm rw\n")
	rows := r.Read(Own)
	for id, want := range map[string]string{
		"mounts.binds": "/data:rw,/etc/resolv.conf:ro,/repro/out/journal.pb:rw,/repro/run:rw",
		"tmpfs":        "/scratch:unlimited,/tmp:67108864", "shm_bytes": "unlimited"} {
		if row := found(t, rows, id); row.Found != want {
			t.Errorf("%v, want %q", row, want)
		}
	}
}

func TestAppArmorBeforeLinux58AndOff(t *testing.T) {
	r := fixture(t, "v1")
	change(t, r, "sys/module/apparmor/parameters/enabled", "Y\n")
	change(t, r, "proc/5000007/attr/current", "docker-default (enforce)\n")
	if row := found(t, r.Read(All), "apparmor"); row.Found != "docker-default" {
		t.Errorf("%v", row)
	}
	// With AppArmor off the one file is another module's.
	change(t, r, "sys/module/apparmor/parameters/enabled", "N\n")
	change(t, r, "proc/5000007/attr/current", "system_u:system_r:container_t:s0\n")
	if row := found(t, r.Read(All), "apparmor"); row.Found != "none" {
		t.Errorf("%v", row)
	}
}

func TestGomaxprocsIsTheProgramsOnceItRuns(t *testing.T) {
	r := fixture(t, "v2")
	change(t, r, "proc/5000007/environ", "HOME=/tmp\x00")
	if row := found(t, r.Read(All), "gomaxprocs"); row.Found != "unset" {
		t.Errorf("%v", row)
	}
	r.ChildPID = 0
	if row := found(t, r.Read(Own), "gomaxprocs"); row.Found != "2" {
		t.Errorf("%v", row)
	}
}
