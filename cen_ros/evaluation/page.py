# SPDX-License-Identifier: Apache-2.0
"""The template of a report's page (Jinja), for `cen_ros.evaluation.html`."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { --page: #fff; --ink: #222; --soft: #667; --line: #ccd; --s0: #1668b8; --s1: #c2410c; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181c; --ink: #e4e6ea; --soft: #9aa3b2; --line: #3a404b;
          --s0: #6cb2ff; --s1: #ffa066; --bad: #ff8a80; }
}
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
       max-width: 1000px; margin: 0 auto; padding: 12px; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2em 0 .5em; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
.figures b { display: block; font-size: 1.5rem; } .figures span, .soft, figcaption { color: var(--soft);
  font-size: .85rem; }
.bad { color: var(--bad); overflow-wrap: anywhere; }
td { white-space: nowrap; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; } td, th { padding: 2px 12px 2px 0; text-align: left;
  font-variant-numeric: tabular-nums; font-weight: normal; } th { color: var(--soft); }
.bar { display: grid; grid-template-columns: 9em 1fr 4.5em; gap: 8px; align-items: center; font-size: .9rem; }
.bar i { display: block; height: 14px; border: 1px solid var(--line); min-width: 1px; } .bar span:last-child {
  text-align: right; font-variant-numeric: tabular-nums; }
.legend span { display: inline-block; margin-right: 14px; white-space: nowrap; font-size: .85rem; }
.legend i { display: inline-block; width: 12px; height: 12px; border: 1px solid var(--line); margin-right: 4px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 6px; margin: 4px 0 16px; }
figure { margin: 0; } img, svg { width: 100%; height: auto; display: block; } svg { max-width: 600px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); } svg .axis { stroke: var(--line); fill: none; }
svg path.s0 { stroke: var(--s0); } svg path.s1 { stroke: var(--s1); } svg rect { fill: var(--s0); }
svg path { fill: none; stroke-width: 1.5; stroke-linecap: round; } svg text.s0 { fill: var(--s0); }
svg text.s1 { fill: var(--s1); }
code { overflow-wrap: anywhere; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if report.damage %}<p class="bad">The bag is damaged; what could be read was evaluated. {{ report.damage }}</p>
{% endif %}
<div class="figures">
<div><b>{{ report.frames }}</b><span>frames labelled</span></div>
{% if report.scores %}
<div><b>{{ report.scores.mean_iou|percent }}</b><span>mean IoU, {{ report.scores.frames }} frames
with truth</span></div>
<div><b>{{ report.scores.pixel_accuracy|percent }}</b><span>pixel accuracy</span></div>
{% endif %}
<div><b>{{ report.flicker.plain.share|percent }}</b><span>of labels change from frame to frame</span></div>
<div><b>{{ report.flicker.warped.share|percent }}</b><span>change on the same surface
{%- if report.flicker.warped.compared %} ({{ report.flicker.warped.coverage|percent }} of pixels compared)
{%- elif report.flicker.why_not_warped %}: {{ report.flicker.why_not_warped }}{% endif %}</span></div>
{% if report.timing.inference_ms %}
<div><b>{{ report.timing.inference_ms.median|number }} ms</b><span>inference, median
({{ report.timing.inference_ms.p95|number }} ms p95, {{ report.timing.inference_ms.max|number }} ms at
most)</span></div>
<div><b>{{ report.timing.frames_per_s|number }}</b><span>frames/s, reading and counting included</span></div>
{% endif %}
</div>
{% if report.bags %}
<h2>Bags</h2>
<div class="scroll"><table>
<tr><th>bag</th><th>frames</th><th>IoU</th></tr>
{% for each in report.bags %}
<tr><td>{% if each.error %}{{ each.bag }}{% else %}
<a href="{{ each.report|urlencode }}/report.html">{{ each.bag }}</a>{% endif %}</td>
<td>{{ each.frames|number }}</td><td>{{ each.mean_iou|percent }}</td></tr>
{% endfor %}
</table></div>
{% for each in report.bags if each.error or each.damage %}
<p class="bad">{{ each.bag }}: {{ each.error or each.damage }}</p>
{% endfor %}
{% endif %}
{% if report.scores %}
<h2>IoU by class</h2>
{% for name, iou in report.scores.iou.items() %}
<div class="bar"><span>{{ name }}{% if iou is not none and not report.scores.confusion[loop.index0]|sum %} *{% endif %}
</span>
<span><i style="width: {{ 100 * (iou or 0) }}%; background: {{ colours[name] }}"></i></span>
<span>{{ iou|percent }}</span></div>
{% endfor %}
<p class="soft">–: neither in the truth nor among the labels, and not in the mean.
*: not in the truth; labels of that class are all wrong, and it counts as 0 in the mean.</p>
{% endif %}
{% if report.pairing %}
<h2>Streams</h2>
<p>{{ report.streams.why }}</p>
<div class="scroll"><table>
<tr><th></th><th>colour</th><th>depth</th><th>truth</th></tr>
<tr><th>topic</th><td>{{ report.streams.rgb }}</td><td>{{ report.streams.depth }}</td>
<td>{{ report.streams.truth or "–" }}</td></tr>
<tr><th>images</th>{% for n in report.pairing.messages.values() %}<td>{{ n }}</td>{% endfor %}</tr>
<tr><th>unpaired</th><td>{{ report.pairing.unpaired.rgb }}</td><td>{{ report.pairing.unpaired.depth }}</td>
<td>{{ report.pairing.truth.without_image }}</td></tr>
</table></div>
<p>{{ report.pairing.pairs }} pairs
{%- if report.pairing.skipped %}, {{ report.pairing.skipped }} left out on purpose{% endif %};
{{ report.pairing.malformed.frames }} lost to malformed images.
{% if report.pairing.difference_ms %}Depth is {{ report.pairing.difference_ms.signed_median|number }} ms after colour
(median; size {{ report.pairing.difference_ms.median|number }} ms median,
{{ report.pairing.difference_ms.p95|number }} ms p95, {{ report.pairing.difference_ms.max|number }} ms at most).
{% endif %}
{% if report.pairing.truth.nearest_stamp %}{{ report.pairing.truth.nearest_stamp }} truths were paired by the nearest
stamp, at most {{ report.pairing.truth.difference_ms.max|number }} ms away.{% endif %}</p>
{% for reason in report.pairing.malformed.reasons %}<p class="bad">{{ reason }}</p>
{% endfor %}
{% endif %}
{% for title, plot in plots.items() %}
<h2>{{ title }}</h2>
{{ plot }}
{% endfor %}
{% for title, group in rows.items() %}
<h2>{{ title }}</h2>
{% if loop.first %}
<p class="legend">{% for name, colour in colours.items() %}
<span><i style="background: {{ colour }}"></i>{{ name }}</span>
{% endfor %}</p>
{% endif %}
{% for row in group %}
<div class="soft">frame {{ row.picture.index }}
{%- if row.picture.iou is not none %}, IoU {{ row.picture.iou|percent }}{% endif %}
{%- if row.picture.flicker is not none %}, flicker {{ row.picture.flicker|percent }}{% endif %}</div>
<div class="row">{% for name, image in row.images.items() %}
<figure><img src="{{ image }}" alt="{{ name }} of frame {{ row.picture.index }}"><figcaption>{{ name }}</figcaption>
</figure>{% endfor %}</div>
{% endfor %}
{% endfor %}
<h2>How this was made</h2>
<p><code>{{ report.run.command }}</code></p>
<p class="soft">weights {{ report.run.weights }}; {{ report.run.runs_on }};
{%- for name, version in report.run.versions.items() %} {{ name }} {{ version }}{{ "," if not loop.last }}
{%- endfor %}</p>
</body>
</html>
"""
