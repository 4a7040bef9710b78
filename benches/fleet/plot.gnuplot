# Draws what `cargo bench --bench fleet -- 100 1000 10000 > fleet.txt` printed:
#   gnuplot -e "table='fleet.txt'; picture='docs/fleet.svg'" benches/fleet/plot.gnuplot
set terminal svg size 720,420 background "white"
set output picture
set logscale xy
set xlabel "relationships"
set xrange [80:13000]
set yrange [0.05:1000]
set key left top
set grid
plot table skip 1 using 1:2 with linespoints title "cold start, s", \
     table skip 1 using 1:4 with linespoints title "steady CPU, % of a core", \
     table skip 1 using 1:5 with linespoints title "RSS, MB", \
     table skip 1 using 1:8 with linespoints title "CPU per refresh, ms"
