"""What the demo asks of gunicorn beside its command line; a version passes over the settings that it does not know."""

# Newer versions open a socket in the home folder, one for all servers of the user.
control_socket_disable = True
