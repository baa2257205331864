A server that has few file descriptors left accepts nothing until others are closed, and
says so once. Connections beyond the last descriptor were closed as if they had ended in
order.
