package testenv

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// live is the place's thread. It is never unlocked from its goroutine, so that
// the runtime ends it and gives it to nobody else.
func (p *place) live(ownNetwork, ownMounts bool, ready chan<- error) {
	runtime.LockOSThread()
	if err := p.enter(ownNetwork, ownMounts); err != nil {
		ready <- err
		return
	}
	ready <- nil
	for j := range p.jobs {
		j.done <- j.run()
	}
	if p.net >= 0 {
		unix.Close(p.net)
	}
}

func (p *place) enter(ownNetwork, ownMounts bool) error {
	if ownMounts {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("a mount namespace: %w (it takes root)", err)
		}
		// Else what is mounted here would show everywhere.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("keeping mounts private: %w", err)
		}
	}
	if !ownNetwork {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace: %w (it takes root)", err)
	}
	var err error
	if p.net, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	return setUp("lo")
}

// dial connects to addr from the place's network. It does not take the place's
// thread, so that one connection that hangs does not hold up another.
func (p *place) dial(addr string, limit time.Duration) (net.Conn, error) {
	if p == nil || p.net < 0 {
		return net.DialTimeout("tcp", addr, limit)
	}
	runtime.LockOSThread()
	home, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer unix.Close(home)
	if err := unix.Setns(p.net, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("entering a network namespace: %w", err)
	}
	nc, dialErr := net.DialTimeout("tcp", addr, limit)
	// A thread that does not find its way back is left locked, and ends.
	if err := unix.Setns(home, unix.CLONE_NEWNET); err == nil {
		runtime.UnlockOSThread()
	}
	return nc, dialErr
}

// openTun makes the network device zt0 with the address, and returns the end at
// which its IP packets come out and go in. It is called in a place.
func openTun(ip net.IP) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w (the kernel's tun module, and root)", err)
	}
	if err := configureTun(fd, ip.To4()); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "zt0"), nil
}

func configureTun(fd int, ip net.IP) error {
	req, err := unix.NewIfreq("zt0")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("a tun device: %w (it takes root)", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, set := range []struct {
		what  uint
		value func() error
	}{
		{unix.SIOCSIFADDR, func() error { return req.SetInet4Addr(ip) }},
		{unix.SIOCSIFNETMASK, func() error { return req.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{unix.SIOCSIFMTU, func() error { req.SetUint32(tunMTU); return nil }},
	} {
		if err := set.value(); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, set.what, req); err != nil {
			return fmt.Errorf("setting up a tun device: %w", err)
		}
	}
	return setUp("zt0")
}

// setUp switches a device on.
func setUp(device string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("switching %s on: %w", device, err)
	}
	return nil
}

// mountMemory mounts a file system of so many bytes in memory. It is called in
// a place with mounts of its own.
func mountMemory(dir string, size int64) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w (it takes root)", err)
	}
	return nil
}

// throttle is a control group whose processes may write to one device so many
// times a second, and no more.
type throttle struct{ dir string }

// newThrottle makes the control group for the device under path, which is
// called in the place where that is mounted.
func newThrottle(name, path string, writesPerSecond int) (*throttle, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	for _, kind := range []struct{ parent, file, text string }{
		{"/sys/fs/cgroup/blkio", "blkio.throttle.write_iops_device", fmt.Sprintf("%s %d", device, writesPerSecond)},
		{"/sys/fs/cgroup", "io.max", fmt.Sprintf("%s wiops=%d", device, writesPerSecond)},
	} {
		dir := kind.parent + "/" + name
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		if err := os.WriteFile(dir+"/"+kind.file, []byte(kind.text), 0o644); err == nil {
			return &throttle{dir}, nil
		}
		_ = os.Remove(dir)
	}
	return nil, fmt.Errorf("no control group that limits writes a second (blkio of version 1, or io of version 2 delegated to this process)")
}

// take puts a process into the group.
func (g *throttle) take(pid int) error {
	return os.WriteFile(g.dir+"/cgroup.procs", []byte(fmt.Sprint(pid)), 0o644)
}

// remove ends the group, whose processes must have ended.
func (g *throttle) remove() error { return os.Remove(g.dir) }

// mountLoop makes a file system in a file and mounts it. It is called in a
// place with mounts of its own; the loop device is freed by the kernel.
func mountLoop(file, dir string, size int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, c := range []string{"mkfs.ext4 -q -F " + file, "mount -o loop " + file + " " + dir} {
		words := strings.Fields(c)
		if err := run("", words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}
