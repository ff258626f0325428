// Command zooid is the one binary: the server and its tools. All wiring of
// packages happens here and nowhere else.
//
// Exit codes: 0 done; 1 unexpected; 2 bad usage or configuration; 3 the data
// directory cannot be used; 4 an address cannot be listened on; 5 no connection
// to a server; 6 permission denied; 7 no such znode.
package main
