// Package bench measures Ferric as a whole. README.md has the figures and how to get them.
package bench
