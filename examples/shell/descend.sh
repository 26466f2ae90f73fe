#!/bin/sh
# Descend into Rosenbrock's valley by gradients with momentum: descend.sh RATE MOMENTUM STEPS
awk -v rate="$1" -v momentum="$2" -v steps="$3" 'BEGIN {
    x = -1; y = 1
    for (step = 1; step <= steps; step++) {
        for (i = 0; i < 100; i++) {
            dx = -2 * (1 - x) - 400 * x * (y - x * x); dy = 200 * (y - x * x)
            vx = momentum * vx - rate * dx; vy = momentum * vy - rate * dy
            x += vx; y += vy
        }
        printf "step %d: x = %.4f, y = %.4f, f = %.6g\n", step, x, y, (1 - x) ^ 2 + 100 * (y - x * x) ^ 2
        fflush()
    }
}'
