"""Pages that lie beside the reports of nights: rules, calibrations, two runs."""
