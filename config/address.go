package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Addr is a host and a TCP port. Host is a name or an address as ZooKeeper
// prints it, without brackets (IPv6 with all eight groups); "" means all
// addresses of the machine. Port 0 means that there is none.
type Addr struct {
	Host string
	Port int
}

// String is the form that net.Dial and ZooKeeper's configuration texts take.
func (a Addr) String() string {
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(a.Port)
}

// Listen is the form for net.Listen. An address of all zeros, of either family,
// stands for all addresses of both, as in Java.
func (a Addr) Listen() string {
	if ip, err := netip.ParseAddr(a.Host); err == nil && ip.IsUnspecified() {
		a.Host = ""
	}
	return a.String()
}

// wildcard says whether a stands for all addresses of the machine.
func (a Addr) wildcard() bool { return strings.HasPrefix(a.Listen(), ":") }

// normalHost checks a host and gives it as Java's getHostString does.
func normalHost(host string) (string, error) {
	if host == "" || strings.ContainsAny(host, " \t\f\r\n") {
		return "", fmt.Errorf("%q is not a host", host)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host, nil // a name; it is resolved when it is used
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String(), nil
	}
	var b strings.Builder
	bytes := ip.As16()
	for i := 0; i < len(bytes); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strconv.FormatUint(uint64(bytes[i])<<8|uint64(bytes[i+1]), 16))
	}
	if ip.Zone() != "" {
		b.WriteString("%" + ip.Zone())
	}
	return b.String(), nil
}

// parsePort reads a port of a server line, which may not be padded.
func parsePort(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number", text)
	}
	if n < 0 || n > 65535 {
		return 0, fmt.Errorf("port %d is out of range", n)
	}
	return int(n), nil
}

// splitHostPorts parts host:port:… at its colons; a host in brackets stays whole.
func splitHostPorts(text string) ([]string, error) {
	if !strings.HasPrefix(text, "[") {
		return splitJava(text, ":"), nil
	}
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return nil, fmt.Errorf("%q begins with [ and has no ]", text)
	}
	rest, ok := strings.CutPrefix(text[end+1:], ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%q has no port behind the ]", text)
	}
	return append([]string{text[1:end]}, splitJava(rest, ":")...), nil
}

// splitJava is String.split: empty parts at the end do not count. So `…:3888;`
// is a server line without a client part.
func splitJava(text, separator string) []string {
	parts := strings.Split(text, separator)
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}
