// Package pluginsock is what Docker's plugin protocols have in common below their methods:
// finding a plugin by its name, connecting to it, and being one on a Unix socket.
package pluginsock
