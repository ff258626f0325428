// Command zooid is the one binary: the server and its tools. All wiring of
// packages happens here and nowhere else.
//
//	main ─► serve ─► run: store ─► server, member ─► listeners ─► until SIGTERM
//	      ├► ensemble: several of "serve", as processes of their own
//	      └► probe, bench, version, completion
//
// Exit codes: 0 done; 1 something unexpected; 2 bad usage or configuration;
// 3 the data directory cannot be used; 4 an address cannot be listened on;
// 5 no connection to a server; 6 permission denied; 7 no such znode; 8 a server
// does not serve.
//
// Read main.go, serve.go and container.go for what stands around a server, and
// run.go for its life: member.go makes the member of the configuration, role.go
// and host.go are what the clients' network asks of the process. ensemble.go
// and localmember.go are the local ensemble.
package main
