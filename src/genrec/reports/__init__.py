"""Reports: charts and self-contained pages, made from the records that evaluations and experiments leave."""
