# SPDX-License-Identifier: Apache-2.0
"""The template of a report's page (Jinja), for `cen_ros.evaluation.bag_page`."""

PAGE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block body %}
{% if report.damage %}<p class="bad">The bag is damaged; what could be read was evaluated. {{ report.damage }}</p>
{% endif %}
<div class="figures">
<div><b>{{ report.frames }}</b><span>frames labeled</span></div>
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
{% set mark = " *" if iou is not none and not report.scores.confusion[loop.index0]|sum else "" %}
{{ parts.bar(name ~ mark, iou, colors[name]) }}
{% endfor %}
<p class="soft">–: neither in the truth nor among the labels, and not in the mean.
*: not in the truth; labels of that class are all wrong, and it counts as 0 in the mean.</p>
{% endif %}
{% if report.pairing %}
<h2>Streams</h2>
<p>{{ report.streams.why }}</p>
<div class="scroll"><table>
<tr><th></th><th>color</th><th>depth</th><th>truth</th></tr>
<tr><th>topic</th><td>{{ report.streams.rgb }}</td><td>{{ report.streams.depth }}</td>
<td>{{ report.streams.truth or "–" }}</td></tr>
<tr><th>images</th>{% for n in report.pairing.messages.values() %}<td>{{ n }}</td>{% endfor %}</tr>
<tr><th>unpaired</th><td>{{ report.pairing.unpaired.rgb }}</td><td>{{ report.pairing.unpaired.depth }}</td>
<td>{{ report.pairing.truth.without_image }}</td></tr>
</table></div>
<p>{{ report.pairing.pairs }} pairs
{%- if report.pairing.skipped %}, {{ report.pairing.skipped }} left out on purpose{% endif %};
{{ report.pairing.malformed.frames }} lost to malformed images.
{% if report.pairing.difference_ms %}Depth is {{ report.pairing.difference_ms.signed_median|number }} ms after color
(median; size {{ report.pairing.difference_ms.median|number }} ms median,
{{ report.pairing.difference_ms.p95|number }} ms p95, {{ report.pairing.difference_ms.max|number }} ms at most).
{% endif %}
{% if report.pairing.truth.nearest_stamp %}{{ report.pairing.truth.nearest_stamp }} truths were paired by the nearest
stamp, at most {{ report.pairing.truth.difference_ms.max|number }} ms away.{% endif %}</p>
{% for reason in report.pairing.malformed.reasons %}<p class="bad">{{ reason }}</p>
{% endfor %}
{% endif %}
{{ parts.plots(plots) }}
{% for title, group in rows.items() %}
<h2>{{ title }}</h2>
{% if loop.first %}
{{ parts.legend(colors) }}
{% endif %}
{% for row in group %}
<div class="soft">frame {{ row.picture.index }}
{%- if row.picture.iou is not none %}, IoU {{ row.picture.iou|percent }}{% endif %}
{%- if row.picture.flicker is not none %}, flicker {{ row.picture.flicker|percent }}{% endif %}</div>
{{ parts.pictures(row.images, "frame " ~ row.picture.index) }}
{% endfor %}
{% endfor %}
<h2>How this was made</h2>
<p><code>{{ report.run.command }}</code></p>
<p class="soft">weights {{ report.run.weights }}; {{ report.run.runs_on }};{{ parts.versions(report.run) }}</p>
{% endblock %}
"""
