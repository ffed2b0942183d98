// Package hostiletest feeds the command with what an attacker would: tars, images
// and stores that try to get out of their place, or to use up the machine. It has
// no code besides its tests.
//
// Every case demands the same: nothing outside of the store changes, memory and
// time stay within bounds, there is one clear error or the right result, and after
// an error nothing is left in the store. docs/hostile-input.md lists the classes.
package hostiletest
