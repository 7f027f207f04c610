"""Scores sales: reads CSV on stdin and writes it on stdout with two more columns, total and score.

The score is A from 500 on, B from 100 on, else C. Knows nothing of Handover, which runs it by the line
`scorer: { run: python3 score.py }`. By hand: python3 score.py < incoming/sales.csv
"""

import csv
import sys
from decimal import Decimal


def score(total):
    if total >= 500:
        return "A"
    return "B" if total >= 100 else "C"


sales = csv.DictReader(sys.stdin)
out = csv.DictWriter(sys.stdout, [*sales.fieldnames, "total", "score"], lineterminator="\n")
out.writeheader()
for sale in sales:
    total = int(sale["quantity"]) * Decimal(sale["price"])
    out.writerow(sale | {"total": total, "score": score(total)})
