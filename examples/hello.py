"""The first program to run in a sandbox: it says where it is."""
import socket

print('hello from', socket.gethostname())
