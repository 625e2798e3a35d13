"""The named protocols in a sentence or two, as reports print them."""

ABOUT = {
    "per-image": (
        "Prediction of at least 0.5 at the image's own size; Dice and IoU per image, "
        "then their mean. Both masks empty scores 1, one empty scores 0."
    ),
    "micro": (
        "True and false pixels are pooled over all images, then scored once; large "
        "lesions weigh more."
    ),
    "pranet": ("Map stretched to 0..1 per image; mean over images, then over 256 thresholds."),
    "isic": ("Jaccard per image, counted as 0 below 0.65; plain Dice and IoU beside it."),
    "medsam-adapter": ("Mean over the thresholds 0.1, 0.3, 0.5, 0.7, 0.9 at 256 x 256 pixels."),
    "gps-repo": ("The published GPS script's rule, for reproduction only: it ignores background."),
    "boundary": ("Distances between outlines per image, then their mean."),
    "clinical": (
        "Sensitivity, specificity and precision of each image's pixels, then their mean over the "
        "images that have one (without a lesion there is no sensitivity); false finds on images "
        "without a lesion; and how far predicted sizes lie from true ones (Bland and Altman)."
    ),
    "lesions": "Each connected lesion counts once, whatever its size, over all images.",
    "volume": ("Dice, IoU and distances between surfaces per 3-D volume, then their mean."),
}
