package fourletter

import (
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// appendDouble writes v as Java's Double.toString does: always with a decimal
// point, and with an exponent below 0.001 and from ten million on.
func appendDouble(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "Infinity"...)
	case math.IsInf(v, -1):
		return append(b, "-Infinity"...)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-3 || a >= 1e7) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
		e, _ := strconv.Atoi(exponent)
		b = appendPoint(b, mantissa)
		b = append(b, 'E')
		return strconv.AppendInt(b, int64(e), 10)
	}
	return appendPoint(b, strconv.FormatFloat(v, 'f', -1, 64))
}

func appendPoint(b []byte, number string) []byte {
	b = append(b, number...)
	if !strings.Contains(number, ".") {
		b = append(b, ".0"...)
	}
	return b
}

// average is sum/count rounded half up to four places, as ZooKeeper rounds its
// averages; 0 when there is nothing to average.
func average(sum float64, count int64) float64 {
	if count == 0 {
		return 0
	}
	v := sum / float64(count)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	// A Rat rounds its decimals half away from zero, FormatFloat half to even.
	rounded, err := strconv.ParseFloat(new(big.Rat).SetFloat64(v).FloatString(4), 64)
	if err != nil {
		return v
	}
	return rounded
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// appendDate writes t as Java's Date.toString does, in t's own zone.
func appendDate(b []byte, t time.Time) []byte {
	return t.AppendFormat(b, "Mon Jan 02 15:04:05 MST 2006")
}

// appendAddr writes a as Java's InetSocketAddress does: a slash, and IPv6 with
// all its eight groups in brackets.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	b = append(b, '/')
	addr := a.Addr().Unmap()
	if addr.Is6() {
		b = append(b, '[')
		groups := addr.As16()
		for i := 0; i < len(groups); i += 2 {
			if i > 0 {
				b = append(b, ':')
			}
			b = strconv.AppendUint(b, uint64(groups[i])<<8|uint64(groups[i+1]), 16)
		}
		if zone := addr.Zone(); zone != "" {
			b = append(b, '%')
			b = append(b, zone...)
		}
		b = append(b, ']')
	} else {
		b = append(b, addr.String()...)
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(a.Port()), 10)
}
