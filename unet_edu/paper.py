"""What the paper reports in numbers: the rows of its two tables, the board that came later, time and memory.

`TABLE1["u-net"]["rand_error"]` is 0.0382, `TABLE2["u-net"]["dic-hela"]` 0.7756; scores and data sets have the names
that `metrics` and `datasets` give them. None: not reported. Titles and sources stand in data/paper.json.
"""

import json

from unet_edu.resources import data_path

REPORTED = json.loads(data_path("paper.json").read_text(encoding="utf-8"))
TABLE1 = REPORTED["table1"]["rows"]
LATER_BOARD = REPORTED["later_board"]["rows"]  # Table 1's challenge, scored by V_rand and V_info; not in the paper
TABLE2 = REPORTED["table2"]["rows"]
TIME = REPORTED["time"]
