A server that has few file descriptors left accepts no visitors until others are closed,
and says so once; links come in until hardly any are left, so that sessions whose link was
lost go on. Connections beyond the last descriptor were closed as if they had ended in
order.
