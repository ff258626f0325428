package znode

import (
	"strings"
	"unicode/utf8"

	"zooid/wire"
)

// validPath tells whether path may name a znode, by ZooKeeper's rules
// (PathUtils), which speak of UTF-16 code units: so no character above U+FFFF
// is valid, because its surrogates are not. Bytes that were not UTF-8 arrive
// here as U+FFFD, which is not valid either.
func validPath(path string) bool {
	if path == "/" {
		return true
	}
	if path == "" || path[0] != '/' {
		return false
	}
	for rest := path[1:]; ; {
		name, tail, more := strings.Cut(rest, "/")
		if name == "" || name == "." || name == ".." || !validName(name) {
			return false
		}
		if !more {
			return true
		}
		rest = tail
	}
}

func validName(name string) bool {
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(name[i:])
		if r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return false
		}
		i += n
	}
	return true
}

// parentOf finds the path of the parent as create and delete do before they
// look any closer: a path without a slash or with a NUL is refused, whatever
// else may be wrong with it shows in that the parent is missing.
func parentOf(path string) (string, wire.ErrCode) {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 || strings.IndexByte(path, 0) >= 0 {
		return "", wire.ErrBadArguments
	}
	if slash == 0 {
		return "/", wire.OK
	}
	return path[:slash], wire.OK
}

// isBuiltIn tells whether path names a node that cannot be deleted.
func isBuiltIn(path string) bool {
	return path == "/" || path == systemPath || path == quotaPath || path == configPath
}
