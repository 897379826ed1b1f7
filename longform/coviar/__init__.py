"""CoViAR (Wu et al., "Compressed Video Action Recognition", CVPR 2018): training and evaluation of its networks."""
