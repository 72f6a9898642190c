"""`otas-middleware relay`: the process that delivers for the applications of one host."""
