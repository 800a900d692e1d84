//go:build !race

package conductor_test

const killEvery = 1
