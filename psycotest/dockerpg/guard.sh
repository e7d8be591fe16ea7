# Runs in the container, in front of the image's own entrypoint: ends the
# container, which removes itself, when standard input ends. Docker closes that
# when the process that attached to it is gone, however it ended.
exec 3<&0
trap 'exit 0' HUP INT TERM
"$@" </dev/null 3<&- &
server=$!
(
	cat <&3 >/dev/null
	kill -s TERM $$
) &
wait "$server"
