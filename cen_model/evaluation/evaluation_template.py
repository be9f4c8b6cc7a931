# SPDX-License-Identifier: Apache-2.0
"""The template of an evaluation's page (Jinja), for `cen_model.evaluation.evaluation_page`."""

PAGE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block body %}
{% set best = results.scores.ensemble %}
<p class="soft">{{ results.run.weights }} on {{ results.data.frames }} frames of {{ results.data.dataset }},
split {{ results.data.split }}{% if results.data.root %} ({{ results.data.root }}){% endif %};
{{ results.inference.runs_on }}
{%- if results.inference.mode == "multi" %}, at {{ results.inference.scales|length }} scales
{{- ", each also mirrored" if results.inference.flip }}{% endif %}
{%- if results.inference.window %}, by windows of {{ results.inference.window|join("×") }} pixels{% endif %}
{%- if results.inference.drop %}, without {{ results.inference.drop|join(", ") }}{% endif %}
{%- if results.inference.holes %}, with the holes of {{ results.inference.holes }}{% endif %}
{%- if results.whole_frame %}, with the center {{ results.inference.center_crop|join("×") }} alone in view{% endif %}
</p>
<div class="figures">
{% if results.task == "segmentation" %}
<div><b>{{ best.mean_iou|percent }}</b><span>mean IoU of the ensemble</span></div>
<div><b>{{ best.pixel_accuracy|percent }}</b><span>pixel accuracy</span></div>
<div><b>{{ best.mean_accuracy|percent }}</b><span>mean accuracy of classes</span></div>
<div><b>{{ results.calibration_error|percent }}</b><span>calibration error (ECE) of the ensemble</span></div>
{% else %}
<div><b>{{ best.mae|number }}</b><span>mean absolute error of the ensemble, of images in [-1, 1]</span></div>
<div><b>{{ best.rmse|number }}</b><span>root of the mean squared error</span></div>
{% if best.fid is not none %}
<div><b>{{ best.fid|number }}</b><span>FID</span></div>
<div><b>{{ (100 * best.kid)|number }}</b><span>KID × 100</span></div>
{% endif %}
{% endif %}
<div><b>{{ results.network.exchanged|percent }}</b><span>of the exchangeable channels are exchanged</span></div>
<div><b>{{ (results.network.parameters / 1e6)|number }} M</b><span>parameters</span></div>
</div>
<h2>Outputs</h2>
<div class="scroll"><table>
<tr><th></th>{% for name in columns %}<th>{{ columns[name] }}</th>{% endfor %}</tr>
{% for output, scores in results.scores.items() %}
<tr><th>{{ output }}</th>{% for name in columns %}
<td>{{ scores[name]|percent if results.task == "segmentation" else scores[name]|number }}</td>{% endfor %}</tr>
{% endfor %}
{% for output, scores in (results.whole_frame or {"scores": {}}).scores.items() %}
<tr><th>{{ output }}, the same pixels with the whole frame in view</th>{% for name in columns %}
<td>{{ scores[name]|percent }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% if results.task == "segmentation" %}
<h2>IoU by class</h2>
{% for name, iou in ranked %}
{{ parts.bar(name ~ (" *" if name in unseen else ""), iou, colors[name]) }}
{% endfor %}
<p class="soft">Of the ensemble, the best first. –: neither in the truth nor among the labels, and not in the mean.
*: not in the truth; labels of that class are all wrong, and it counts as 0 in the mean.</p>
{% if results.scores|length > 1 %}
<details><summary>Of every output</summary>
<div class="scroll"><table>
<tr><th></th>{% for output in results.scores %}<th>{{ output }}</th>{% endfor %}</tr>
{% for name in results.classes %}
<tr><th>{{ name }}</th>{% for scores in results.scores.values() %}<td>{{ scores.iou[name]|percent }}</td>{% endfor %}
</tr>
{% endfor %}
</table></div></details>
{% endif %}
<h2>Confusion</h2>
<p class="soft">Rows are the truth, columns the ensemble's labels; the darker, the larger the share of the row's
pixels.</p>
{{ heat_map }}
<h2>Most confused</h2>
<div class="scroll"><table>
<tr><th>truth</th><th>labeled</th><th>of its pixels</th><th>pixels</th></tr>
{% for each in confused %}
<tr><td>{{ each.truth }}</td><td>{{ each.label }}</td><td>{{ each.share|percent }}</td><td>{{ each.pixels|number }}</td>
</tr>
{% endfor %}
</table></div>
{% endif %}
{{ parts.plots(plots) }}
{% for title, group in rows.items() %}
<h2>{{ title }}</h2>
{% if loop.first and colors %}
{{ parts.legend(colors) }}
{% endif %}
{% for row in group %}
<div class="soft">frame {{ row.index }} ({{ row.files }}){{ row.figures }}</div>
{{ parts.pictures(row.images, "frame " ~ row.index) }}
{% endfor %}
{% endfor %}
<h2>How this was made</h2>
<p><code>{{ results.run.command }}</code></p>
<p class="soft">{% for name, value in results.inference.items() if value is not none %}
{{ name }} {{ value if value is string or value is number else value|tojson }}{{ "; " if not loop.last }}
{%- endfor %}</p>
<p class="soft">commit {{ results.run.commit or "unknown" }}; {{ results.run.device }};
{{ results.run.processes }} process{{ "es" if results.run.processes > 1 }}, {{ results.run.seconds|number }} s;
{{ parts.versions(results.run) }}</p>
{% endblock %}
"""
