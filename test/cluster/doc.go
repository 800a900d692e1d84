// Package cluster runs a whole Ferric spread over hosts, for tests: conductors, APIs, a cluster of NATS servers and PostgreSQL, all real
// processes, each host in a network namespace of its own. Processes can be killed, stopped, continued and restarted; hosts can be cut off from
// one network and stay on the others. It needs root.
//
// The namespaces have no names and live as long as their processes: when the test program dies, however it does, the kernel ends the processes
// and removes networks and namespaces with them.
//
//	networks      who is on them
//	db            PostgreSQL, conductors, APIs, the tester
//	bus           NATS servers, conductors, APIs
//	bmc           conductors, the machines' BMCs
//	api           APIs, the tester
//
// # Concurrency
//
// A Cluster and what is in it may be used by several goroutines.
package cluster
