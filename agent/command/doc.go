// Package command is the agent's command API: an HTTPS server with the paths of ironic-python-agent
// (/v1/status, /v1/commands) and an Executor that runs one command at a time and remembers every result.
//
// # Concurrency
//
// An Executor and a Server may be used from many goroutines. Asynchronous commands run in one goroutine that the
// Executor owns: Close cancels it and waits. The Server owns its listener and connections: Close ends them.
package command
