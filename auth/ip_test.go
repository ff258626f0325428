package auth

import (
	"net/netip"
	"testing"
)

func TestIPEntries(t *testing.T) {
	for _, tc := range []struct {
		expr  string
		valid bool
		yes   []string // addresses that it matches
		no    []string
	}{
		{"127.0.0.1", true, []string{"127.0.0.1"}, []string{"127.0.0.2", "::1"}},
		{"10.0.0.0/8", true, []string{"10.0.0.0", "10.255.1.2"}, []string{"11.0.0.0", "a00::", "0a00::1"}},
		{"10.1.2.3/8", true, []string{"10.9.9.9"}, []string{"11.1.2.3"}},
		{"192.168.1.128/25", true, []string{"192.168.1.200"}, []string{"192.168.1.127"}},
		{"0.0.0.0/0", true, []string{"1.2.3.4"}, []string{"::1"}},
		{"10.0.0.1/32", true, []string{"10.0.0.1"}, []string{"10.0.0.0"}},
		{"010.000.0.01", true, []string{"10.0.0.1"}, []string{"8.0.0.1"}},
		{"::1", true, []string{"::1"}, []string{"::2", "127.0.0.1"}},
		{"0:0:0:0:0:0:0:1", true, []string{"::1"}, nil},
		{"2001:db8::/32", true, []string{"2001:db8:1::1"}, []string{"2001:db9::1"}},
		{"::/0", true, []string{"::1"}, []string{"1.2.3.4"}},
		{"::1/128", true, []string{"::1"}, []string{"::3"}},
		{"::ffff:7f00:1", true, []string{"127.0.0.1"}, nil},
		{"", false, nil, []string{"127.0.0.1"}},
		{"x", false, nil, nil},
		{"300.1.1.1", false, nil, nil},
		{"1.2.3", false, nil, nil},
		{"1.2.3.4.5", false, nil, nil},
		{"1.2.3.", false, nil, nil},
		{"-1.2.3.4", false, nil, nil},
		{"1.2.3.4/33", false, nil, []string{"1.2.3.4"}},
		{"1.2.3.4/-1", false, nil, nil},
		{"1.2.3.4/", false, nil, nil},
		{"1.2.3.4/8/8", false, nil, nil},
		{"1.2.3.4/255.0.0.0", false, nil, nil},
		{"::1/129", false, nil, []string{"::1"}},
		{"::ffff:127.0.0.1", false, nil, nil},
		{"fe80::1%eth0", false, nil, nil},
		{":", false, nil, nil},
		{"1::2::3", false, nil, nil},
		{"localhost", false, nil, nil},
	} {
		if got := (ipScheme{}).Valid(tc.expr); got != tc.valid {
			t.Errorf("ip:%s valid = %v, want %v", tc.expr, got, tc.valid)
		}
		for want, addrs := range map[bool][]string{true: tc.yes, false: tc.no} {
			for _, a := range addrs {
				id := ipID(netip.MustParseAddr(a)).ID
				if got := (ipScheme{}).Matches(id, tc.expr); got != want {
					t.Errorf("ip:%s matches %s (identity %s) = %v, want %v", tc.expr, a, id, got, want)
				}
			}
		}
	}
}

func TestIPIdentity(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1":        "127.0.0.1",
		"::1":              "0:0:0:0:0:0:0:1",
		"2001:db8::ff00:a": "2001:db8:0:0:0:0:ff00:a",
		"::ffff:10.1.2.3":  "10.1.2.3",
		"fe80::1%eth0":     "fe80:0:0:0:0:0:0:1",
	} {
		if got := ipID(netip.MustParseAddr(in)); got.Scheme != "ip" || got.ID != want {
			t.Errorf("identity of %s is %v, want ip:%s", in, got, want)
		}
	}
}
