//go:build race

package conductor_test

// The race detector makes SQLite ten times slower: with it, conductors are killed at every seventh write only.
const killEvery = 7
