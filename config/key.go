package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// key is a row of the table of keys.
type key struct {
	// name is the key in zoo.cfg. One that ends in a dot stands for all keys
	// that begin so and have no row of their own.
	name  string
	place place
	// def is the value of an absent key, "" for none.
	def    string
	effect effect
	// strict says of a system property that ZooKeeper does not start when its
	// number is none. It takes the default of all others.
	strict bool
	// why is the reason beside inert and refused.
	why string
	// set takes the value over. It is nil for keys whose value nobody reads.
	set setter
}

// setter reads a value into a Config. A remark as error says that it did, and
// what the operator should know about it.
type setter func(c *Config, value string) error

// place is where a key is read besides zoo.cfg.
type place int

const (
	inFile place = iota // nowhere else
	// inProperty is -Dzookeeper.<name>; zoo.cfg wins, because ZooKeeper makes
	// system properties of the keys in zoo.cfg that it does not know by name.
	inProperty
	// inBare is -D<name>, which wins over zoo.cfg, where ZooKeeper does not
	// look for it.
	inBare
)

// effect is what Zooid does about a key.
type effect int

const (
	served   effect = iota // takes effect
	ensemble               // takes effect among other members only
	inert                  // accepted; one warning if it is set to something else than its default
	refused                // an error when it is switched on: set to something else than its default
)

func (e effect) String() string {
	return [...]string{"takes effect", "takes effect in an ensemble", "no effect", "refused"}[e]
}

// remark is an error that does not stop.
type remark string

func (r remark) Error() string { return string(r) }

// replaced is a remark on a value that was passed over for the default.
type replaced struct {
	def string
	remark
}

func (r *replaced) Unwrap() error { return r.remark }

// lookup finds the row of a key: its own, or the one with the longest prefix.
func lookup(name string) *key {
	best := -1
	for i := range keys {
		k := &keys[i]
		if k.name == name {
			return k
		}
		if strings.HasSuffix(k.name, ".") && strings.HasPrefix(name, k.name) && len(name) > len(k.name) &&
			(best < 0 || len(k.name) > len(keys[best].name)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return &keys[best]
}

// apply carries a value into c as the key's effect says.
func (k *key) apply(c *Config, value string) error {
	usual := sameValue(value, k.def)
	if k.effect == refused && !usual {
		return errors.New(k.why)
	}
	if k.set != nil {
		if err := k.take(c, value); err != nil {
			return err
		}
	}
	if k.effect == inert && !usual {
		return remark("no effect: " + k.why)
	}
	return nil
}

// take hands a value to the key's setter. The number of a system property that
// cannot be read, or not be meant, gives way to the default, as in ZooKeeper.
func (k *key) take(c *Config, value string) error {
	if k.place == inFile {
		return k.set(c, value)
	}
	err := error(nil)
	if _, other := strconv.Atoi(k.def); other == nil {
		value, err = decimal(value)
	}
	if err == nil {
		err = k.set(c, value)
	}
	var number *numberError
	if k.strict || !errors.As(err, &number) {
		return err
	}
	if k.def == "" {
		return &replaced{"", remark(number.Error() + ", so it counts as absent, as in ZooKeeper")}
	}
	if err := k.set(c, k.def); err != nil {
		return err
	}
	return &replaced{k.def, remark(fmt.Sprintf("%v, so the default %s holds, as in ZooKeeper", number, k.def))}
}

// decimal writes in decimal what Long.decode reads in another base: 0x10 and #10
// are hexadecimal, 010 is octal. Other texts stay as they are.
func decimal(value string) (string, error) {
	sign, digits, base := "", value, 8
	if strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+") {
		sign, digits = digits[:1], digits[1:]
	}
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		digits, base = digits[2:], 16
	case strings.HasPrefix(digits, "#"):
		digits, base = digits[1:], 16
	case len(digits) < 2 || digits[0] != '0':
		return value, nil
	}
	n, err := strconv.ParseInt(sign+digits, base, 64)
	if err != nil || strings.ContainsAny(digits, "+-") {
		return "", &numberError{fmt.Sprintf("%q is not a whole number", value)}
	}
	return strconv.FormatInt(n, 10), nil
}

// numberError says that a value is no number, or none that can be meant.
type numberError struct{ text string }

func (e *numberError) Error() string { return e.text }

// sameValue compares as far as case does not matter to the values of keys.
func sameValue(a, b string) bool { return strings.EqualFold(a, b) }

// secret says whether a key's value must not be shown.
func secret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"password", "passwd", "superdigest", "secret"}, func(s string) bool { return strings.Contains(name, s) })
}

// setText takes the value as it is.
func setText(field func(*Config) *string) setter {
	return func(c *Config, value string) error {
		*field(c) = value
		return nil
	}
}

// setNumber reads a whole number from least to most.
func setNumber[T ~int | ~int32 | ~int64](least, most int64, field func(*Config) *T) setter {
	return func(c *Config, value string) error {
		n, err := parseNumber(value, least, most)
		if err == nil {
			*field(c) = T(n)
		}
		return err
	}
}

// setAtLeast reads a whole number that is raised to least where it is smaller,
// as ZooKeeper does with a few keys.
func setAtLeast[T ~int | ~int64](least int64, field func(*Config) *T) setter {
	return func(c *Config, value string) error {
		n, err := parseNumber(value, math.MinInt32, math.MaxInt32)
		if err != nil {
			return err
		}
		*field(c) = T(max(n, least))
		if n < least {
			return remark(fmt.Sprintf("%d is too few, so it is %d", n, least))
		}
		return nil
	}
}

// setDuration reads a whole number of units, from least to what an int32 holds,
// as in Java.
func setDuration(unit time.Duration, least int64, field func(*Config) *time.Duration) setter {
	return func(c *Config, value string) error {
		n, err := parseNumber(value, least, math.MaxInt32)
		if err == nil {
			*field(c) = time.Duration(n) * unit
		}
		return err
	}
}

// setKibibytes reads a size; zero or less means 0, none.
func setKibibytes(field func(*Config) *int64) setter {
	return func(c *Config, value string) error {
		n, err := parseNumber(value, math.MinInt64, math.MaxInt64>>10)
		if err == nil {
			*field(c) = max(n, 0) << 10
		}
		return err
	}
}

// setFlag reads true or false. It is for the keys that ZooKeeper knows by name,
// for which it takes nothing else either.
func setFlag(field func(*Config) *bool) setter {
	return func(c *Config, value string) error {
		if !sameValue(value, "true") && !sameValue(value, "false") {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(c) = sameValue(value, "true")
		return nil
	}
}

// setBoolean reads a boolean system property in Java's usual way: what is not
// true is false.
func setBoolean(field func(*Config) *bool) setter { return setProperty("true", "false", false, field) }

// setProperty reads a system property with two values. Any other value means
// usual, as in ZooKeeper, and gets a remark.
func setProperty(yes, no string, usual bool, field func(*Config) *bool) setter {
	return func(c *Config, value string) error {
		switch {
		case sameValue(value, yes):
			*field(c) = true
		case sameValue(value, no):
			*field(c) = false
		default:
			*field(c) = usual
			return remark(fmt.Sprintf("%q is neither %s nor %s, so it means %s, as in ZooKeeper", value, yes, no, map[bool]string{true: yes, false: no}[usual]))
		}
		return nil
	}
}

// not inverts a flag: the field says the opposite of the key.
func not(set func(func(*Config) *bool) setter, field func(*Config) *bool) setter {
	return func(c *Config, value string) error {
		var b bool
		err := set(func(*Config) *bool { return &b })(c, value)
		*field(c) = !b
		return err
	}
}

// setPort reads a TCP port; 0 means none.
func setPort(field func(*Config) *Addr) setter {
	return func(c *Config, value string) error {
		n, err := parseNumber(value, 0, 65535)
		if err == nil {
			field(c).Port = int(n)
		}
		return err
	}
}

// setHost reads the address to listen on; brackets around IPv6 are taken off. An
// empty one stands for all addresses.
func setHost(field func(*Config) *Addr) setter {
	return func(c *Config, value string) (err error) {
		if value == "" {
			field(c).Host = ""
			return remark("it is empty, so it means all addresses of this machine")
		}
		if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
			value = value[1 : len(value)-1]
		}
		field(c).Host, err = normalHost(value)
		return err
	}
}

// parseNumber reads a decimal number, or a hexadecimal one behind 0x, as Java's
// system properties may be written. Its error is a numberError.
func parseNumber(value string, least, most int64) (int64, error) {
	digits, base := value, 10
	if rest, ok := strings.CutPrefix(strings.ToLower(value), "0x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || base == 16 && strings.ContainsAny(digits, "+-") {
		return 0, &numberError{fmt.Sprintf("%q is not a whole number", value)}
	}
	if err != nil || n < least || n > most {
		return 0, &numberError{fmt.Sprintf("%s is not between %d and %d", value, least, most)}
	}
	return n, nil
}
